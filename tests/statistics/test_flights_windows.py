"""The daily profiles of the flights against plain counts of their rows."""

import pyarrow.compute as pc

from driftline.profile.recount import recount
from tests.statistics import flights_windows
from tests.statistics.flights_windows import DAYS, week


def test_each_day_is_counted_as_its_rows_are() -> None:
    cells = flights_windows.binning(DAYS[:90])
    daily = flights_windows.daily(cells)
    assert list(daily) == list(DAYS)
    assert pc.count_distinct(flights_windows.rows()["day"]).as_py() == len(DAYS)
    assert sum(profile.rows for profile in daily.values()) == len(flights_windows.rows())
    for day in DAYS[::60]:
        assert daily[day] == recount(flights_windows.of([day]), cells)


def test_weeks_are_iso_weeks() -> None:
    assert all(week(day) + 1 == day.isocalendar().week for day in DAYS[:363])
