"""What a reference can support: thresholds by size of window, and the changes that are found."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import special

from driftline import names
from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.monitors.calibration import budget, sequential
from driftline.monitors.calibration.budget import Look
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.judges import Judges
from driftline.monitors.calibration.null import Basis, Null
from driftline.monitors.calibration.sequential import Sequential
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Monitor, takes
from driftline.profile.binning import Floats
from driftline.storage.connection import connect
from driftline.storage.versions import promotions

_NAMED = 8  # columns
_POWER = 0.9
_BEYOND = -float(special.ndtri(1 - _POWER))  # standard deviations above a threshold, to be sure


@dataclass(frozen=True)
class Support:
    """One look at one size of window.

    Attributes:
        look: monitor, column, segment, length of windows.
        rows: of the window.
        level: the false-alarm rate that the budget gives the look.
        attainable: the smallest that the reference can honour; None for slow drift, whose limit is
            found for the level.
        honoured: level is not below attainable.
        per_week: expected false alarms of this look a week, when it is honoured; else 0, since
            such verdicts open no incident.
        basis: what the law comes from: see `monitors.calibration.null`.
        windows: effective number of independent windows of the reference.
        expected: the reference's value, in the monitor's unit.
        threshold: the value that alarms; None where it differs from case to case.
        detectable: the smallest change of the value, upwards, that alarms in 90 % of windows; None
            for slow drift, which finds a change the later the smaller it is.
        unit: of these three.
    """

    look: Look
    rows: float
    level: float
    attainable: float | None
    honoured: bool
    per_week: float
    basis: Basis
    windows: float
    expected: float | None
    threshold: float | None
    detectable: float | None
    unit: str


def supports(judge: Judge, sizes: Floats) -> list[Support]:
    """What each look of a judge can do in windows of some sizes.

    Args:
        judge: of one version and segment.
        sizes: rows of the windows.
    """
    found = []
    for look, level in judge.levels.items():
        if look.segment != judge.segment or look.monitor not in judge.monitors:
            continue
        for rows in sizes.tolist():
            one = _support(judge, judge.monitors[look.monitor], look, level, rows)
            if one is not None:
                found.append(one)
    if judge.segment == names.ALL_ROWS:
        found += _slow(judge, sizes)
    return found


def _slow(judge: Judge, sizes: Floats) -> Iterable[Support]:
    """The sums over windows, which have one limit for windows of all sizes."""
    sums = Sequential(judge.settings, judge.calibrator, judge.version)
    seconds = sums.length.seconds
    for column in filter(sums.alerts, sums.columns):
        cusum = sums.cusum(column)
        known = judge.calibrator.variation(MONITORS[sequential.SOURCE], column, seconds)
        for rows in sizes.tolist():
            yield Support(
                Look(sequential.NAME, column, judge.segment, seconds),
                rows,
                sums.level,
                attainable=None,
                honoured=cusum is not None,
                per_week=0.0 if cusum is None else sums.level * sums.per_week,
                basis="declared" if known is None else "windows",
                windows=0.0 if known is None else known[1] / known[0],
                expected=0.0,
                threshold=None if cusum is None else cusum.limit,
                detectable=None,
                unit="sum of effects",
            )


def _support(
    judge: Judge, monitor: Monitor, look: Look, level: float, rows: float
) -> Support | None:
    reference = Counts.of(judge.reference.total, look.column)
    all_rows = float(reference.rows[0])
    if not all_rows:
        return None
    typical = reference.scaled(np.array([rows / all_rows]))
    size = float(monitor.sizes(typical)[0])
    if size < 1:
        return None
    compared = monitor.compare(typical, reference)
    df = float(compared.df[0])
    null = judge.calibrator.null(monitor, look, size, df, level)
    if null is None:
        return None
    typical = typical.scaled(np.array([min(null.size / size, 1.0)]))
    null = null.resized(null.size, float(monitor.compare(typical, reference).df[0]))
    statistic = null.threshold(level)
    expected = float(compared.expected[0])
    honoured = null.attainable <= level
    length = next(w for w in judge.settings.windows if w.seconds == look.seconds)
    return Support(
        look,
        rows,
        level,
        null.attainable,
        honoured,
        level * budget.per_week(length) if honoured else 0.0,
        null.basis,
        null.blocks,
        expected if math.isfinite(expected) else None,
        monitor.value_at(statistic, typical, reference),
        _detectable(monitor, statistic, null, typical, reference),
        monitor.unit,
    )


def _detectable(
    monitor: Monitor, statistic: float, null: Null, typical: Counts, reference: Counts
) -> float | None:
    """For a squared score, so many standard deviations beyond its root; for a sum of squares,
    the noncentrality that brings it there."""
    df = float(monitor.compare(typical, reference).df[0])
    if df == 1.0:
        beyond = (math.sqrt(statistic) + _BEYOND * math.sqrt(null.scale)) ** 2
        value = monitor.value_at(beyond, typical, reference)
        if value is None:
            return None
        return value - float(monitor.compare(typical, reference).expected[0])
    if not math.isfinite(df):
        return None
    # in units of the law's scale, with as many degrees of freedom as it was matched to
    found = float(special.chndtrinc(statistic * null.df1 / null.scale, null.df1, 1 - _POWER))
    return found * null.scale / null.df1


def provisional(looks: Iterable[Support]) -> int:
    """How many looks are judged by a variation that was only declared."""
    return sum(one.basis == "declared" for one in looks)


@dataclass(frozen=True)
class Supported:
    """What the reference of one version supports.

    Attributes:
        title: which one.
        budget: false incidents a week that the config allows.
        looks: one for each look and size of window.
        beside: false incidents a week, at most, of what else has a share of the budget.
    """

    title: str
    budget: float
    looks: list[Support]
    beside: dict[str, float]

    def summary(self, looks: list[Support]) -> dict[str, object]:
        """The totals, by name."""
        by_size = sorted({one.rows for one in looks})
        return {
            "reference": self.title,
            "budget_per_week": self.budget,
            "expected_false_incidents_per_week": {
                f"{rows:.0f}": sum(one.per_week for one in looks if one.rows == rows)
                for rows in by_size
            },
            "not_counted_per_week": self.beside,
            "not_calibrated": sum(not one.honoured for one in looks),
        }

    def sentences(self, looks: list[Support]) -> list[str]:
        """The totals, for people."""
        lines = [f"reference: {self.title}; budget: {self.budget:g} false incidents a week"]
        for rows in sorted({one.rows for one in looks}):
            mine = [one for one in looks if one.rows == rows]
            missed = sum(not one.honoured for one in mine)
            weekly = sum(one.per_week for one in mine)
            lines.append(
                f"windows of {rows:,.0f} rows: these looks open at most {weekly:.3f} false "
                f"incidents a week, {missed} of {len(mine)} of them are not calibrated"
            )
        if number := provisional(looks):
            lines.append(
                f"{number} of {len(looks)} are provisional, and make tickets only: the reference "
                "does not show how much such windows differ, and monitors.variation says it "
                "instead; a reference with times, and with as many rows a window as live ones, "
                "shows it (driftline reference set)"
            )
        if any(not one.honoured for one in looks):
            lines.append(
                "not calibrated: lengthen the windows, watch fewer columns, raise "
                "false_alarms_per_week, or set a longer reference (driftline reference set)"
            )
        monitors = ", ".join(dict.fromkeys(one.look.monitor for one in looks))
        columns = list(dict.fromkeys(one.look.column for one in looks))
        few = ", ".join(columns) if len(columns) <= _NAMED else f"{len(columns)} columns"
        more = ", ".join(f"{name} {weekly:.3f}" for name, weekly in self.beside.items())
        lines.append(
            f"counted: {monitors} of {few}; beside them, at most so many a week: {more}; what has "
            "a fixed limit (latency, no traffic, Evidently, thresholds) is outside the budget"
        )
        return lines


def of_model(
    config: Config, model: str, version: int | None, segment: str, rows: list[int] | None
) -> Supported:
    """What the stored reference of a model's version supports.

    Parameters:
        version: None for the champion.
        rows: sizes of windows; None for the quartiles of the reference's own.

    Raises:
        DriftlineError: there is no reference.
    """
    section = config.model(model)
    with connect(config.local_postgres(), "read") as connection:
        chosen = promotions.champion(connection, model) if version is None else version
        if chosen is None:
            raise DriftlineError(
                f"no version of model {model!r} was loaded yet: 'driftline run {model}' stores its "
                "reference"
            )
        judges = Judges(model, section)
        judges.refresh(connection)
        judge = judges.of(connection, chosen, segment)
        looks = supports(judge, np.array(rows, dtype=float) if rows else usual_rows(judge))
    title = f"{model} version {chosen}" + (f", {segment}" if segment else "")
    allowed = section.monitors.false_alarms_per_week
    beside = {name: share * allowed for name, share in budget.beside_columns(section).items()}
    return Supported(title, allowed, looks, {**beside, **_elsewhere(judge)})


def _elsewhere(judge: Judge) -> dict[str, float]:
    """False incidents a week, at most, of the looks at columns that are not listed for a judge."""
    per_week = {length.seconds: budget.per_week(length) for length in judge.settings.windows}
    found: dict[str, float] = {}
    for look, level in judge.levels.items():
        listed = look.monitor in judge.monitors
        if not listed or look.segment != judge.segment:
            name = (look.segment or "all rows") if listed else look.monitor
            found[name] = found.get(name, 0.0) + level * per_week[look.seconds]
    if judge.segment != names.ALL_ROWS:
        found[sequential.NAME] = judge.settings.false_alarms_per_week * budget.SEQUENTIAL
    return found


def usual_rows(judge: Judge) -> Floats:
    """Quartiles of the rows of the reference's windows, of the longest length."""
    longest = max(window.seconds for window in judge.settings.windows)
    windows = judge.reference.windows(longest)
    if windows is None:
        return np.array([100.0, 1_000.0, 10_000.0])
    first = judge.columns[0]
    rows = Counts.of_many(judge.reference.binning, windows.counts, windows.sums, first).rows
    quartiles: Floats = np.unique(np.quantile(rows, (0.25, 0.5, 0.75)).round())
    return quartiles[quartiles > 0]


def effective_windows(judge: Judge) -> dict[int, float]:
    """How many independent windows of each length the reference is worth, by seconds.

    The fewest over the columns of numbers, from the autocorrelation of their means; 0 when it has
    no windows of that length.
    """
    found = {}
    for length in judge.settings.windows:
        variations = [
            judge.calibrator.variation(MONITORS["location"], name, length.seconds)
            for name in judge.columns
            if takes(MONITORS["location"], judge.reference.binning.by_name[name])
        ]
        counts = [0.0 if one is None else one[1] / one[0] for one in variations]
        found[length.seconds] = min(counts, default=0.0)
    return found
