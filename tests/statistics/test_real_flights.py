"""Real days: what varies as it always did raises no more alarms than promised; summer is found."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pytest

from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.monitor import NUMBER, NUMBERS
from driftline.monitors.windows.verdict import Window
from tests.statistics.flights_judged import (
    DAY,
    EVEN,
    WINTER,
    alternate_weeks,
    judged,
    judging,
    rate,
    start,
)
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
    """Detects a null distribution that takes real days for more alike than they are, by column (all
    together with 95 %), and in the mean over columns."""
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


def test_days_are_decided_together_as_each_is_by_itself() -> None:
    """Detects that what is said here of days is not what `Judge.judge` says: their rows differ, so
    that cells may be others, but seldom."""
    judge, daily = judging(EVEN, 0.01)
    days, decided = judged(EVEN, 0.01)
    tests = other = 0
    for at in range(0, len(days), 9):
        window = Window(DAY, start(days[at]) + timedelta(days=1))
        alone = {(v.monitor, v.column): v for v in judge.judge(window, daily[days[at]])}
        for one in decided:
            verdict = alone[one.monitor.name, one.column]
            tests += 1
            other += verdict.status != one.statuses[at]
    assert tests > 2_000
    assert other <= 0.002 * tests


def test_a_warm_summer_after_a_cold_winter_is_found_every_week() -> None:
    """At 1 % for the column: a share of it for each monitor that alerts on numbers."""
    watching = [m.name for m in MONITORS.values() if m.alerts and {NUMBER, NUMBERS} & m.kinds]
    level = 0.01 / len(watching)
    days, decided = judged(WINTER, level)
    fired = np.any(
        [one.alarms for one in decided if one.column == "temp" and one.monitor.name in watching],
        axis=0,
    )
    alarms = Counter(week(day) + 1 for day, alarm in zip(days, fired, strict=True) if alarm)
    few = {number: alarms[number] for number in range(19, 40)}
    assert min(few.values()) >= 3, few
