"""Streams without a change: how often they alarm, and how often they should."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import numpy as np

from driftline.config.monitors import Monitors
from driftline.monitors.calibration import budget
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.reference import Blocks
from driftline.monitors.calibration.sequential import SOURCE, Sequential
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.stream import volume
from driftline.monitors.windows.verdict import Window
from driftline.profile.binning import Floats
from tests.statistics.decided import Decided, decide
from tests.statistics.streams import DAY, Column, Stream, effects, stream

SEGMENT = "country=de"
ALERTING = {name: monitor for name, monitor in MONITORS.items() if monitor.alerts}

MIXED = {
    "normal": Column("normal"),
    "heavy": Column("lognormal", 0.3),
    "discrete": Column("discrete", 0.6),
    "text": Column("category:20", 0.1),
    "two": Column("category:2"),
}
FEW = {"normal": Column("normal"), "text": Column("category:20", 0.1)}
CATEGORIES = {f"c{k}": Column(f"category:{k}") for k in (2, 50, 1_000)}
WIDE = {f"column{i}": list(MIXED.values())[i % len(MIXED)] for i in range(200)}
NORMAL = {"x": Column("normal")}

Statuses = Counter[str]
Alarms = set[tuple[str, int, int]]  # what alarms, the seconds and the start of a window


@dataclass(frozen=True)
class Days:
    """How days are made.

    Attributes:
        rows: of each.
        tau, rho, weekly: see `effects`.
        known: days of the reference.
        judged: days after it that are judged.
    """

    rows: int
    tau: float = 0.0
    rho: float = 0.0
    weekly: float = 0.0
    known: int = 60
    judged: int = 14

    def draw(self, columns: dict[str, Column], rng: np.random.Generator) -> Stream:
        """A reference and what follows it."""
        path = effects(self.known + self.judged, self.tau, self.rho, self.weekly, rng)
        return stream(columns, self.rows, path[: self.known], path[self.known :], rng)


@dataclass(frozen=True, kw_only=True)
class Case(ABC):
    """A kind of stream without a change; a replicate is an independent reference and what follows.

    Attributes:
        budget: false incidents a week that are allowed.
        within: how many times the budget may be spent: day effects are only estimated.
        right: the share of replicates with a false incident, as `make simulate` measures it, and a
            standard error above.
        wrong: the same with all levels doubled, and a standard error below.
        replicates: of `make simulate`.
    """

    name: str
    days: Days
    budget: float = 1.0
    within: float = 1.25
    right: float
    wrong: float
    replicates: int = 400

    @abstractmethod
    def incidents(self, rng: np.random.Generator, factor: float = 1.0) -> tuple[int, Statuses]:
        """False incidents of a replicate, and what became of its tests.

        Parameters:
            factor: to multiply the level of each test with.
        """

    @property
    def allowed(self) -> float:
        """False incidents a week, at most."""
        return self.within * self.budget

    @property
    def weeks(self) -> float:
        """That are judged in a replicate."""
        return self.days.judged / 7


@dataclass(frozen=True, kw_only=True)
class OfColumns(Case):
    """All columns, day by day. An incident is a window in which any test of a family alarms."""

    columns: dict[str, Column]
    matching: str = "none"

    def incidents(self, rng: np.random.Generator, factor: float = 1.0) -> tuple[int, Statuses]:
        """Of the columns."""
        settings = Monitors.model_validate(
            {
                "windows": ["1 d"],
                "false_alarms_per_week": self.budget * factor,
                "matching": self.matching,
            }
        )
        made = self.days.draw(self.columns, rng)
        judge = Judge(settings, made.reference, monitors=ALERTING)
        decided = list(decide(judge, made.later))
        statuses = Statuses(status for one in decided for status in one.statuses)
        return len(alarms(decided, made.later)), statuses


@dataclass(frozen=True, kw_only=True)
class OfAll(Case):
    """What spends a model's budget at once: columns of all rows and of a segment, in windows of a
    day and of two, slow drift, volume."""

    def incidents(self, rng: np.random.Generator, factor: float = 1.0) -> tuple[int, Statuses]:
        """Of everything."""
        settings = Monitors.model_validate(
            {
                "windows": ["1 d", "2 d"],
                "segments": [SEGMENT],
                "false_alarms_per_week": self.budget * factor,
            }
        )
        found, statuses = Alarms(), Statuses()
        for segment, days in (("", self.days), (SEGMENT, replace(self.days, rows=500))):
            made = days.draw(FEW, rng)
            judge = Judge(settings, made.reference, segment=segment, monitors=ALERTING)
            for windows in (made.later, made.later.windows(2 * DAY)):
                decided = list(decide(judge, windows))
                statuses.update(status for one in decided for status in one.statuses)
                found |= alarms(decided, windows)
            if not segment:
                found |= _of_slow_drift(settings, judge, decided, windows)
        return len(found | self._of_volume(settings, rng)), statuses

    def _of_volume(self, settings: Monitors, rng: np.random.Generator) -> Alarms:
        counts = rng.poisson(self.days.rows, volume.DAYS + self.days.judged).astype(np.float64)
        ago = np.arange(volume.DAYS, 0, -1)
        level = budget.stream_level(settings, budget.VOLUME)
        return {
            ("volume", DAY, day)
            for day in range(self.days.judged)
            if volume.judge(
                int(counts[day + volume.DAYS]), counts[day : day + volume.DAYS], ago, level
            ).status
            == "alarm"
        }


@dataclass(frozen=True, kw_only=True)
class OfSlowDrift(Case):
    """Sums of effects. An incident begins with the first of windows that alarm in a row."""

    def incidents(self, rng: np.random.Generator, factor: float = 1.0) -> tuple[int, Statuses]:
        """Of one column of numbers."""
        per_week = self.budget / budget.SEQUENTIAL * factor
        over = sums(self.days.draw(NORMAL, rng), per_week) >= 1
        return int(over[0]) + int((over[1:] & ~over[:-1]).sum()), Statuses()


def sums(made: Stream, per_week: float) -> Floats:
    """The sums of slow drift after each window of a single column of numbers, in limits.

    Parameters:
        per_week: false incidents that are allowed, of all monitors together.
    """
    settings = Monitors.model_validate({"windows": ["1 d"], "false_alarms_per_week": per_week})
    judge = Judge(settings, made.reference, monitors={SOURCE: MONITORS[SOURCE]})
    (decided,) = decide(judge, made.later)
    cusum = Sequential(settings, judge.calibrator).cusum(decided.column)
    assert cusum is not None
    added: Floats = np.abs(cusum.path(decided.effects)) / cusum.limit
    return added


def alarms(decided: Iterable[Decided], windows: Blocks) -> Alarms:
    """The windows in which any test of a family alarms."""
    return {
        (one.monitor.family, windows.seconds, int(start))
        for one in decided
        for start in windows.starts[one.alarms]
    }


def _of_slow_drift(
    settings: Monitors, judge: Judge, decided: Iterable[Decided], windows: Blocks
) -> Alarms:
    """As the runner judges it: after each window, of the effects up to then."""
    slow = Sequential(settings, judge.calibrator)
    effects = {one.column: one.effects for one in decided if one.monitor.name == SOURCE}
    length = timedelta(seconds=windows.seconds)
    found = Alarms()
    for at, start in enumerate(windows.starts.tolist()):
        window = Window(windows.seconds, datetime.fromtimestamp(start, UTC) + length)
        said = slow.judge(window, {name: past[: at + 1] for name, past in effects.items()})
        found |= {("slow drift", windows.seconds, start) for v in said if v.status == "alarm"}
    return found


def alarm(case: Case, statuses: Statuses, factor: float = 1.0) -> Iterator[bool]:
    """Whether each of endless replicates has a false incident.

    Parameters:
        statuses: to which what became of the tests is added.
    """
    for seed in count():
        incidents, more = case.incidents(np.random.default_rng([seed, SEED]), factor)
        statuses.update(more)
        yield incidents > 0


SEED = 1

CASES: tuple[Case, ...] = (
    OfColumns(
        name="one column",
        columns=NORMAL,
        days=Days(500, judged=28),
        right=0.65,
        wrong=0.88,
        replicates=1_000,
    ),
    OfColumns(
        name="50 rows",
        columns=MIXED,
        days=Days(50, judged=56),
        right=0.57,
        wrong=0.80,
        replicates=1_000,
    ),
    OfColumns(
        name="2,000 rows",
        columns=MIXED,
        days=Days(2_000),
        budget=3.0,
        right=0.69,
        wrong=0.92,
        replicates=1_000,
    ),
    OfColumns(
        name="1,000,000 rows",
        columns=MIXED,
        days=Days(1_000_000, judged=28),
        right=0.54,
        wrong=0.81,
        replicates=1_000,
    ),
    OfColumns(
        name="2 to 1,000 categories",
        columns=CATEGORIES,
        days=Days(5_000, judged=28),
        right=0.38,
        wrong=0.62,
        replicates=1_000,
    ),
    OfColumns(
        name="200 columns",
        columns=WIDE,
        days=Days(2_000, known=30, judged=28),
        budget=4.0,
        right=0.42,
        wrong=0.66,
        replicates=100,
    ),
    OfColumns(
        name="independent days",
        columns=MIXED,
        days=Days(2_000, tau=0.3),
        budget=2.0,
        within=2.0,
        right=0.56,
        wrong=0.71,
    ),
    OfColumns(
        name="days like the day before",
        columns=MIXED,
        days=Days(2_000, tau=0.3, rho=0.5, known=90),
        budget=2.0,
        within=2.0,
        right=0.56,
        wrong=0.70,
    ),
    OfColumns(
        name="small effects",
        columns=MIXED,
        days=Days(2_000, tau=0.1, rho=0.5, known=90),
        budget=2.0,
        within=2.0,
        right=0.72,
        wrong=0.84,
    ),
    OfColumns(
        name="weekly seasonality",
        columns=MIXED,
        days=Days(20_000, tau=0.2, rho=0.3, weekly=0.2, known=90),
        budget=2.0,
        within=2.0,
        right=0.45,
        wrong=0.60,
    ),
    OfColumns(
        name="strong seasonality, all days compared",
        columns=FEW,
        days=Days(2_000, tau=0.1, rho=0.3, weekly=0.5, known=140),
        budget=2.0,
        within=2.0,
        right=0.56,
        wrong=0.84,
    ),
    OfColumns(
        name="strong seasonality, days of the week compared",
        columns=FEW,
        days=Days(2_000, tau=0.1, rho=0.3, weekly=0.5, known=140),
        matching="day_of_week",
        budget=2.0,
        within=2.0,
        right=0.74,
        wrong=0.87,
    ),
    OfAll(name="all that spends the budget", days=Days(2_000), budget=2.0, right=0.45, wrong=0.73),
    OfSlowDrift(
        name="slow drift, independent rows",
        days=Days(2_000, known=90, judged=70),
        budget=0.4,
        right=0.67,
        wrong=0.84,
    ),
    OfSlowDrift(
        name="slow drift, independent days",
        days=Days(2_000, tau=0.3, known=90, judged=70),
        budget=0.4,
        within=2.0,
        right=0.72,
        wrong=0.87,
    ),
    OfSlowDrift(
        name="slow drift, days like the day before",
        days=Days(2_000, tau=0.3, rho=0.5, known=90, judged=70),
        budget=0.4,
        within=2.0,
        right=0.48,
        wrong=0.61,
    ),
)
