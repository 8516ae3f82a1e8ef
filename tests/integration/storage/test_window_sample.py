"""The sample of a window's raw rows: the same each time, without bias, bounded."""

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from driftline.storage.connection import connect
from driftline.storage.monitoring import reference_sample, reports, window_sample
from driftline.storage.profiles import profile_rows
from tests.integration.storage.conftest import MODEL, START, World

DAY = timedelta(days=1)
EVENTS = 8_640  # ten seconds apart: a day
BURST = 8_640  # more, within a minute


@pytest.fixture(scope="module")
def filled(make_world: Callable[..., World]) -> World:
    world = make_world(labels=True)
    events = world.events(EVENTS)
    events += [
        {
            **world.event(n),
            "event_id": f"burst{n}",
            "event_time": START + timedelta(hours=5, seconds=60 * n / BURST),
        }
        for n in range(BURST)
    ]
    for start in range(0, len(events), 5_000):
        part = events[start : start + 5_000]
        world.log(part, world.produce_events(part), publish=False)
    return world


def test_a_small_window_is_read_whole(filled: World) -> None:
    with connect(filled.config.postgres, "read") as connection:
        sample = window_sample.read(connection, MODEL, START, START + timedelta(hours=1), rows=500)
    assert sample["event_id"].to_pylist() == [f"e{n}" for n in range(360)]
    first = sample.slice(0, 2).to_pylist()
    assert [row["amount"] for row in first] == [None, 1.0]
    assert (first[1]["event_time"], first[1]["country"]) == (START + timedelta(seconds=10), "fr")


def test_a_busy_window_gives_the_same_rows_again(filled: World) -> None:
    with connect(filled.config.postgres, "read") as connection:
        assert profile_rows.rows(connection, MODEL, START, START + DAY) == EVENTS + BURST
        one, again = (
            window_sample.read(connection, MODEL, START, START + DAY, rows=200) for _ in range(2)
        )
        more = window_sample.read(connection, MODEL, START, START + DAY, rows=200, version=2)
    assert len(one) == 200
    assert one == again
    assert one["event_time"].to_pylist() == sorted(one["event_time"].to_pylist())
    assert len(more) == 0


def test_a_burst_has_its_share(filled: World) -> None:
    """Half of the rows lie in one minute of the day; over many windows they are half the sample."""
    shares = []
    with connect(filled.config.postgres, "read") as connection:
        for n in range(100):
            until = START + DAY + timedelta(seconds=n)
            sample = window_sample.read(connection, MODEL, START, until, rows=200)
            is_burst = [one.startswith("burst") for one in sample["event_id"].to_pylist()]
            shares.append(np.mean(is_burst))
    assert abs(np.mean(shares) - 0.5) < 4 * np.std(shares) / np.sqrt(len(shares))


def test_what_is_read_does_not_grow_with_the_traffic() -> None:
    starts, ends = window_sample.slices(MODEL, START, START + DAY, 1 / 64)
    read = sum((end - start for start, end in zip(starts, ends, strict=True)), timedelta())
    assert read / DAY == pytest.approx(1 / 64, rel=1e-6)
    assert min(starts) >= START
    assert max(ends) <= START + DAY


def test_every_instant_has_the_same_chance() -> None:
    hits = np.zeros(96)
    middles = [START + DAY / 96 * (i + 0.5) for i in range(96)]
    for n in range(400):
        starts, ends = window_sample.slices(f"m{n}", START, START + DAY, 0.25)
        inside = [any(a <= one < b for a, b in zip(starts, ends, strict=True)) for one in middles]
        hits += inside
    assert np.abs(hits - 100).max() < 4.5 * np.sqrt(400 * 0.25 * 0.75)


def test_labels_come_with_their_events(filled: World) -> None:
    filled.sql(
        """INSERT INTO driftline.label
             (label_time, model, event_id, label, source, kafka_offset, kafka_time)
           VALUES (%s, 'fraud', 'e3', 0, 1, 1, now()), (%s, 'fraud', 'e3', 1, 1, 2, now())""",
        START + timedelta(minutes=5),
        START + timedelta(minutes=6),
    )
    with connect(filled.config.postgres, "read") as connection:
        sample = window_sample.read(
            connection, MODEL, START, START + timedelta(minutes=1), rows=50, labelled=True
        )
    label = sample[window_sample.LABEL].to_numpy()
    assert label[3] == 1.0
    assert np.isnan(label[[0, 1, 2, 4, 5]]).all()


def test_an_empty_window_has_the_columns(filled: World) -> None:
    with connect(filled.config.postgres, "read") as connection:
        full, empty = (
            window_sample.read(connection, MODEL, since, since + DAY, rows=50, labelled=True)
            for since in (START, START - DAY)
        )
    assert len(empty) == 0
    assert empty.schema.names == full.schema.names
    assert [field.type for field in empty.schema if field.name != "model_version"] == [
        field.type for field in full.schema if field.name != "model_version"
    ]


def test_a_report_is_linked_from_its_window(filled: World) -> None:
    filled.sql(
        """INSERT INTO driftline.verdict (window_end, model, window_seconds, segment, "column",
             monitor, family, version, revision, rows, status, alerts, provisional)
           VALUES (%s, 'fraud', 86400, '', 'amount', 'm', 'drift', 1, 0, 9, 'ok', true, false),
                  (%s, 'fraud', 3600, '', 'amount', 'm', 'drift', 1, 0, 9, 'ok', true, false)""",
        START + DAY,
        START + DAY,
    )
    with connect(filled.config.postgres, "write", autocommit=True) as connection:
        number = reports.store(
            connection, MODEL, START, START + DAY, rows=9, summary={"a": 1}, html="<p>ü</p>"
        )
    with connect(filled.config.postgres, "read") as connection:
        assert reports.html(connection, number) == "<p>ü</p>"
        assert [one.id for one in reports.find(connection, MODEL)] == [number]
    linked = filled.sql("SELECT window_seconds, report_id FROM driftline.verdict ORDER BY 1")
    assert linked == [(3600, None), (86400, number)]


def test_the_sample_of_a_reference_is_kept_once_and_can_be_replaced(filled: World) -> None:
    from driftline.profile import sample

    with connect(filled.config.postgres, "write", autocommit=True) as connection:
        rows = window_sample.read(connection, MODEL, START, START + DAY, rows=20)
        first = sample.draw(rows.select(["amount", "country"]), rows["score"].to_numpy())
        reference_sample.store(connection, MODEL, 7, sample.pack(first))
        reference_sample.store(connection, MODEL, 7, sample.pack(first.slice(0, 3)))
        assert reference_sample.load(connection, MODEL, 7) == first
        reference_sample.replace(connection, MODEL, 7, first.slice(0, 3))
        assert reference_sample.load(connection, MODEL, 7) == first.slice(0, 3)
        assert reference_sample.load(connection, MODEL, 8) is None
