"""The demo's year as its monitors judge it: April to December against January to March."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from driftline.config import Config, load
from driftline.demo import settings
from driftline.monitors.running.runner import Runner
from driftline.profile.blocks import Block
from driftline.profile.profile import Profile
from driftline.storage.connection import connect
from driftline.storage.monitoring import incidents
from driftline.storage.monitoring.incidents import Incident
from driftline.storage.monitoring.references import StoredReference
from driftline.storage.tables import schema
from tests.integration.monitors.conftest import store
from tests.statistics import flights_windows
from tests.statistics.flights_judged import WINTER, start

MODEL = settings.MODEL
DAY = timedelta(days=1)


def prepared(database: Config, folder: Path) -> Config:
    """The demo's config, with a profile of each day and a reference of the winter's."""
    settings.write(folder / "driftline.yaml", folder, paced=False)
    model = load(folder / "driftline.yaml").model(MODEL)
    config = database.model_copy(update={"models": {MODEL: model}})
    features = pa.schema([(name, pa.float64()) for name in flights_windows.WEATHER])
    schema.migrate(config, {MODEL: features})
    binning = flights_windows.binning(WINTER, latencies=True)
    daily = flights_windows.daily(binning)
    known = {day: daily[day] for day in sorted(WINTER)}
    total = Profile.of(binning, *(profile.pack() for profile in known.values()))
    first, last = start(min(known)), start(max(known)) + DAY
    store(
        config,
        StoredReference(MODEL, 1, total, "file", first, last, 86_400, "test"),
        [Block("", 86_400, start(day), one.rows, one.pack()) for day, one in known.items()],
    )
    with connect(config.postgres, "migrate") as connection:
        for day, profile in daily.items():
            if day not in known:
                connection.execute(
                    "INSERT INTO driftline.profile (bucket, model, span_minutes, version, role,"
                    " segment, binning_id, rows, cells)"
                    " VALUES (%s, %s, 1, 1, 'served', '', %s, %s, %s)",
                    [start(day), MODEL, binning.id, profile.rows, profile.pack()],
                )
    return config


@pytest.fixture(scope="module")
def found(
    empty_database: Callable[[], Config], tmp_path_factory: pytest.TempPathFactory
) -> list[Incident]:
    config = prepared(empty_database(), tmp_path_factory.mktemp("demo"))
    Runner(config).run(until_idle=True)
    with connect(config.postgres, "read") as connection:
        return incidents.history(connection, MODEL, 1_000)


def columns(one: Incident) -> set[str]:
    return {part["column"] for part in one.contributors if part["column"]}


def test_summer_is_warm_and_other_places_are_flown_to(found: list[Incident]) -> None:
    drift = [one for one in found if one.family == "drift"]
    for month in (6, 7, 8):
        middle = datetime(2013, month, 15, tzinfo=UTC)
        assert any("temp" in columns(one) for one in drift if one.since <= middle <= one.last)
    assert any("distance" in columns(one) for one in drift)
    assert len(drift) < 40  # of 275 days


def test_columns_that_merely_vary_do_not_page(found: list[Incident]) -> None:
    pages = [one for one in found if one.severity == "page"]
    assert {one.family for one in pages} <= {"volume"}
    assert not any(columns(one) for one in pages)
    assert len(pages) <= 6, [(one.since, one.summary) for one in pages]
