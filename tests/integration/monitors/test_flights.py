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
    past = {day: daily[day] for day in sorted(WINTER)}
    total = Profile.of(binning, *(profile.pack() for profile in past.values()))
    first, last = start(min(past)), start(max(past)) + DAY
    store(
        config,
        StoredReference(MODEL, 1, total, "file", first, last, 86_400, "test"),
        [Block("", 86_400, start(day), item.rows, item.pack()) for day, item in past.items()],
    )
    with connect(config.postgres, "migrate") as connection:
        for day, profile in daily.items():
            if day not in past:
                connection.execute(
                    "INSERT INTO driftline.profile (bucket, model, span_minutes, version, role,"
                    " segment, binning_id, rows, cells)"
                    " VALUES (%s, %s, 1, 1, 'served', '', %s, %s, %s)",
                    [start(day), MODEL, binning.id, profile.rows, profile.pack()],
                )
    return config


@pytest.fixture(scope="module")
def opened(
    empty_database: Callable[[], Config], tmp_path_factory: pytest.TempPathFactory
) -> list[Incident]:
    config = prepared(empty_database(), tmp_path_factory.mktemp("demo"))
    Runner(config).run(until_idle=True)
    with connect(config.postgres, "read") as connection:
        return incidents.history(connection, MODEL, 1_000)


def columns(item: Incident) -> set[str]:
    return {part["column"] for part in item.contributors if part["column"]}


def test_summer_is_warm_and_other_places_are_flown_to(opened: list[Incident]) -> None:
    drift = [item for item in opened if item.family == "drift"]
    for month in (6, 7, 8):
        middle = datetime(2013, month, 15, tzinfo=UTC)
        assert any("temp" in columns(item) for item in drift if item.since <= middle <= item.last)
    assert any("distance" in columns(item) for item in drift)
    assert len(drift) < 40  # of 275 days


def test_columns_that_merely_vary_do_not_page(opened: list[Incident]) -> None:
    pages = [item for item in opened if item.severity == "page"]
    assert {item.family for item in pages} <= {"volume"}
    assert not any(columns(item) for item in pages)
    assert len(pages) <= 6, [(item.since, item.summary) for item in pages]
