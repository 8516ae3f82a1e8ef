"""The flights judged day by day against a reference of other days."""

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import cache

import numpy as np

from driftline import names
from driftline.config.monitors import Monitors
from driftline.monitors.calibration.budget import HypothesisTest
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.reference import Blocks, Reference
from driftline.monitors.columns.catalogue import MONITORS
from driftline.profile.profile import Profile
from tests.statistics import flights_windows
from tests.statistics.decided import Decided, decide
from tests.statistics.flights_windows import COLUMNS, DAYS, week

DAY = 86_400
EVEN = frozenset(day for day in DAYS if week(day) % 2 == 0)
ODD = frozenset(DAYS) - EVEN
WINTER = frozenset(day for day in DAYS if day < date(2013, 4, 1))


def reference(days: Collection[date]) -> tuple[Reference, Mapping[date, Profile]]:
    """A reference of some days, and all days counted in its cells."""
    cells = flights_windows.binning(days)
    daily = flights_windows.daily(cells)
    own = blocks(sorted(days), daily)
    total = Profile(cells, own.counts.sum(axis=0), own.sums.sum(axis=0))
    return Reference(cells, total, own), daily


def blocks(days: Sequence[date], daily: Mapping[date, Profile]) -> Blocks:
    """Some days, in order of time."""
    return Blocks(
        DAY,
        np.array(
            [int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) for day in days]
        ),
        np.stack([daily[day].counts for day in days]),
        np.stack([daily[day].sums for day in days]),
    )


@cache
def judging(days: frozenset[date], level: float) -> tuple[Judge, Mapping[date, Profile]]:
    """Each test at this level, against a reference of these days; and all days."""
    known, daily = reference(days)
    judge = Judge(Monitors(), known)
    judge.__dict__["levels"] = {
        HypothesisTest(monitor, column, names.ALL_ROWS, DAY): level
        for monitor in MONITORS
        for column in judge.columns
    }
    return judge, daily


@cache
def judged(days: frozenset[date], level: float) -> tuple[list[date], list[Decided]]:
    """Every other day of the year."""
    judge, daily = judging(days, level)
    others = [day for day in DAYS if day not in days]
    return others, list(decide(judge, blocks(others, daily)))


@cache
def alternate_weeks() -> dict[tuple[str, str], dict[int, list[float]]]:
    """(statistic, column) -> week -> p-values of its days; both ways round."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for days in (EVEN, ODD):
        others, decided = judged(days, 0.01)
        for one in decided:
            if one.column not in COLUMNS:
                continue
            by_week = found.setdefault((one.monitor.name, one.column), {})
            for day, p_value in zip(others, one.p_values.tolist(), strict=True):
                if not math.isnan(p_value):
                    by_week.setdefault(week(day), []).append(p_value)
    return found


def rate(by_week: Mapping[int, list[float]], level: float) -> tuple[float, float]:
    """The share of days that alarm, and its standard error with weeks as clusters."""
    sizes = np.array([len(days) for days in by_week.values()])
    hits = np.array([sum(p <= level for p in days) for days in by_week.values()])
    share = float(hits.sum() / sizes.sum())
    n = len(sizes)
    error = np.sqrt(n / max(n - 1, 1) * ((hits - share * sizes) ** 2).sum()) / sizes.sum()
    return share, float(error)


def start(day: date) -> datetime:
    """Its first instant."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
