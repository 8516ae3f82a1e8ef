"""The flights judged day by day against a reference of other days."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np

from driftline import names
from driftline.monitoring import Monitors
from driftline.profile.profile import Profile
from monitors.calibration.budget import Look
from monitors.calibration.judge import Judge
from monitors.calibration.reference import Blocks, Reference
from monitors.catalogue import MONITORS
from monitors.verdict import Verdict, Window
from tests.statistics import flights_windows
from tests.statistics.flights_windows import COLUMNS, DAYS, week

DAY = 86_400
EVEN = frozenset(day for day in DAYS if week(day) % 2 == 0)
ODD = frozenset(DAYS) - EVEN
WINTER = frozenset(day for day in DAYS if day < date(2013, 4, 1))


def reference(days: Collection[date]) -> tuple[Reference, Mapping[date, Profile]]:
    """A reference of some days, and all days counted in its cells."""
    cells = flights_windows.binning(days)
    daily = flights_windows.daily(cells)
    own = sorted(days)
    blocks = Blocks(
        DAY,
        np.array([int(start(day).timestamp()) for day in own]),
        np.stack([daily[day].counts for day in own]),
        np.stack([daily[day].sums for day in own]),
    )
    total = Profile(cells, blocks.counts.sum(axis=0), blocks.sums.sum(axis=0))
    return Reference(cells, total, blocks), daily


@dataclass(frozen=True)
class Judged:
    """What was said of a day."""

    day: date
    verdicts: list[Verdict]


@cache
def judged(days: frozenset[date], level: float) -> list[Judged]:
    """Every other day of the year, each look at this level, against a reference of these days."""
    known, daily = reference(days)
    judge = Judge(Monitors(), known)
    judge.__dict__["levels"] = {
        Look(monitor, column, names.ALL_ROWS, DAY): level
        for monitor in MONITORS
        for column in judge.columns
    }
    return [
        Judged(day, judge.judge(Window(DAY, start(day) + timedelta(days=1)), daily[day]))
        for day in DAYS
        if day not in days
    ]


@cache
def alternate_weeks() -> dict[tuple[str, str], dict[int, list[float]]]:
    """(statistic, column) -> week -> p-values of its days; both ways round."""
    found: dict[tuple[str, str], dict[int, list[float]]] = {}
    for days in (EVEN, ODD):
        for one in judged(days, 0.01):
            for verdict in one.verdicts:
                if verdict.column not in COLUMNS or verdict.p_value is None:
                    continue
                by_week = found.setdefault((verdict.monitor, verdict.column), {})
                by_week.setdefault(week(one.day), []).append(verdict.p_value)
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
