"""Windows that cut through merged hours and days count each row once, late ones too."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from driftline.profile.profile import Profile
from driftline.storage.connection import connect
from driftline.storage.profiles import profile_rows, windows

MODEL = "fraud"
HOUR = datetime(2024, 3, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def event(world: Any, minute: int, country: str = "de") -> dict[str, Any]:
    [made] = world.events(1)
    return {**made, "event_time": HOUR + minute * MINUTE, "country": country}


def log(world: Any, *events: dict[str, Any]) -> None:
    world.log(list(events), world.produce_events(list(events)))


def counts(world: Any, first: int, end: int) -> dict[str, tuple[int, Profile]]:
    """The rows and the profile of some minutes, by segment."""
    with connect(world.config.postgres, "read") as connection:
        found = windows.read(
            connection, MODEL, HOUR + first * MINUTE, HOUR + end * MINUTE, ["country=de"]
        )
    summed = windows.sums(found, {world.binning.id: world.binning})
    rows = {part.segment: 0 for part in summed}
    for row in found:
        rows[row.segment] += row.rows
    return {part.segment: (rows[part.segment], profile) for part, profile in summed.items()}


@pytest.mark.parametrize("merged_after", [timedelta(days=3), timedelta(days=100)])
def test_a_late_row_of_a_merged_hour_is_counted_once(world: Any, merged_after: timedelta) -> None:
    world.segments = ("country",)
    log(world, *(event(world, minute, "fr") for minute in range(0, 60, 5)))
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        profile_rows.compact(connection, MODEL, now=HOUR + merged_after)
    # its segment is new in this hour
    log(world, event(world, 10, "de"), event(world, 40, "fr"))
    for first, end, rows in ((0, 30, 7), (5, 11, 3), (0, 10, 2), (30, 60, 7), (20, 60, 9)):
        found = counts(world, first, end)
        assert found[""][0] == rows
        assert found[""][1].rows == rows
        de = 1 if first <= 10 < end else 0
        assert found.get("country=de", (0,))[0] == de
    assert counts(world, 0, 60)[""][0] == 14
    before = counts(world, 0, 30)
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        profile_rows.compact(connection, MODEL, now=HOUR + merged_after)
    assert counts(world, 0, 30) == before


def test_parts_of_hours_that_overlap_are_counted_once(world: Any) -> None:
    """Other windows make other parts, and late minutes become parts beside their hour."""
    log(world, *(event(world, minute) for minute in range(60)))
    compact = partial(
        profile_rows.compact,
        model=MODEL,
        now=HOUR + timedelta(days=3),
        hours_after=timedelta(days=10),
    )
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        compact(connection, minutes=15)
        log(world, *(event(world, minute) for minute in range(60)))
        compact(connection, minutes=10)
        mixed = [(0, 60), (7, 20), (10, 20), (12, 14), (15, 30), (20, 40), (25, 60), (29, 31)]
        for first, end in mixed:
            assert counts(world, first, end)[""][0] == 2 * (end - first)
        profile_rows.compact(connection, MODEL, now=HOUR + timedelta(days=3))
        log(world, *(event(world, minute) for minute in range(60)))
        compact(connection, minutes=5)
    for first, end in mixed:
        assert counts(world, first, end)[""][0] == 3 * (end - first)
