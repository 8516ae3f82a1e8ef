"""Real days: what varies as it always did raises no more alarms than promised; summer is found."""

from collections.abc import Mapping

import numpy as np
import pytest

from monitors.catalogue import MONITORS
from tests.statistics.flights_judged import WINTER, alternate_weeks, judged, rate
from tests.statistics.flights_windows import COLUMNS, week

# 138 intervals at once, each of a column and statistic: together they hold with 95 % (Bonferroni).
_NORMAL = 3.37


def table(level: float) -> dict[str, dict[str, tuple[float, float]]]:
    """Statistic -> column -> share of days that alarm, its standard error."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for (monitor, column), by_week in alternate_weeks().items():
        found.setdefault(monitor, {})[column] = rate(by_week, level)
    return found


def text(level: float, rates: Mapping[str, Mapping[str, tuple[float, float]]]) -> str:
    """The table, for `pytest -s`."""
    lines = [f"share of days that alarm at {level:.1%}, reference of alternate weeks"]
    for monitor, by_column in rates.items():
        cells = " ".join(f"{name} {share:.3f}" for name, (share, _) in by_column.items())
        lines.append(f"{monitor:20} {cells}")
    return "\n".join(lines)


@pytest.mark.parametrize("level", [0.05, 0.01])
def test_days_of_other_weeks_alarm_at_most_twice_as_often_as_promised(level: float) -> None:
    rates = table(level)
    print(text(level, rates), text(0.001, table(0.001)), sep="\n\n")
    assert set(rates) == set(MONITORS)
    for monitor, by_column in rates.items():
        for column, (share, error) in by_column.items():
            assert share - _NORMAL * error <= 2 * level, (monitor, column, share, error)
        assert np.mean([share for share, _ in by_column.values()]) <= 2 * level, monitor


def test_every_column_and_day_is_judged() -> None:
    for (monitor, column), by_week in alternate_weeks().items():
        assert column in COLUMNS
        days = sum(map(len, by_week.values()))
        assert days >= 360, (monitor, column, days)


def test_a_warm_summer_after_a_cold_winter_is_found_every_week() -> None:
    """At 1 % for the column: a share of it for each monitor that alerts on numbers."""
    watching = [m.name for m in MONITORS.values() if m.alerts and "numeric" in m.kinds]
    level = 0.01 / len(watching)
    alarms: dict[int, set[object]] = {}
    for one in judged(WINTER, level):
        fired = [
            verdict.monitor
            for verdict in one.verdicts
            if verdict.column == "temp" and verdict.monitor in watching
            if verdict.status == "alarm"
        ]
        if fired:
            alarms.setdefault(week(one.day) + 1, set()).add(one.day)
    few = {number: len(alarms.get(number, ())) for number in range(19, 40)}
    assert min(few.values()) >= 3, few
