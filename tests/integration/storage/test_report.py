"""`driftline report` on a real store: sampled, compared, stored, linked."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from driftline.errors import DriftlineError
from driftline.monitors.raw_rows import reference_rows, report
from driftline.profile import sample
from driftline.profile.profile import Profile
from driftline.storage.connection import connect
from driftline.storage.monitoring import reference_sample, references, reports
from driftline.storage.monitoring.references import StoredReference
from tests.integration.storage.conftest import MODEL, START, World

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def filled(make_world: Callable[..., World]) -> World:
    world = make_world(labels=True)
    events = world.events(2 * 8_640)
    for event in events[8_640:]:
        event["country"] = "de"
    for start in range(0, len(events), 5_000):
        part = events[start : start + 5_000]
        world.log(part, world.produce_events(part), publish=False)
    world.sql(
        """INSERT INTO driftline.label
             (label_time, model, event_id, label, source, kafka_offset, kafka_time)
           SELECT event_time + interval '1 h', 'fraud', event_id, (items > 2)::int, 1,
                  row_number() OVER (), now() FROM driftline.prediction_fraud"""
    )
    rng = np.random.default_rng(0)
    features = pa.table(
        {
            "amount": rng.uniform(0, 49, 3_000),
            "items": rng.integers(0, 5, 3_000),
            "country": rng.choice(["de", "fr", "it"], 3_000),
        }
    )
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        kept = sample.pack(sample.draw(features, rng.uniform(0.1, 0.7, 3_000)))
        reference_sample.store(connection, MODEL, 1, kept)
    return world


def test_a_report_is_made_stored_and_linked(filled: World) -> None:
    made = report.make(filled.config, MODEL, START + DAY, START + 2 * DAY, rows=1_000)
    assert (made.summary["rows"], made.summary["version"]) == (1_000, 1)
    assert made.summary["reference_rows"] == 1_000
    assert made.summary["labelled"] == 1_000
    assert "country" in made.summary["drifted"]
    assert made.summary["RocAuc"] == pytest.approx(1.0)
    with connect(filled.config.postgres, "read") as connection:
        assert reports.html(connection, made.id) == made.html
        (kept,) = reports.find(connection, MODEL)
    assert json.dumps(kept.summary, sort_keys=True) == json.dumps(made.summary, sort_keys=True)


def test_the_last_whole_window(filled: World) -> None:
    with connect(filled.config.postgres, "read") as connection:
        assert report.latest_window(connection, MODEL, DAY) == (START + DAY, START + 2 * DAY)
        hour = timedelta(hours=1)
        assert report.latest_window(connection, MODEL, hour)[1] == START + 2 * DAY


def test_a_live_reference_is_read_from_its_window(filled: World) -> None:
    live = StoredReference(
        MODEL, 1, Profile.of(filled.binning), "window", START, START + DAY, 3_600
    )
    with connect(filled.config.postgres, "write", autocommit=True) as connection:
        references.write(connection, live, [])
    try:
        with connect(filled.config.postgres, "read", autocommit=True) as connection:
            found = reference_rows.read(connection, MODEL, 1, 500)
        assert len(found.rows) == 500
        assert found.origin == "live rows of 2024-03-01 00:00 to 2024-03-02 00:00"
        assert "label" in found.rows.column_names
    finally:
        filled.sql("DELETE FROM driftline.reference")


def test_what_is_missing_is_said(filled: World, tmp_path: Path) -> None:
    with pytest.raises(DriftlineError, match="has no predictions of version 7 from 2024-03-01"):
        report.make(filled.config, MODEL, START, START + DAY, version=7)
    with (
        connect(filled.config.postgres, "read") as connection,
        pytest.raises(
            DriftlineError, match="no raw rows of the reference of model 'fraud' version 2"
        ),
    ):
        reference_rows.read(connection, MODEL, 2, 10)
