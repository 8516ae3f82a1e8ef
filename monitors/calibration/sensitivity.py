"""The sensitivity of a reference's tests: thresholds and detectable changes by window size."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import special

from driftline import names
from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.monitors.calibration import budget, sequential
from driftline.monitors.calibration.budget import HypothesisTest
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.judges import Judges
from driftline.monitors.calibration.null import Basis, NullDistribution
from driftline.monitors.calibration.sequential import Sequential
from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Monitor, applies_to
from driftline.profile.binning import Floats
from driftline.storage.connection import connect
from driftline.storage.versions import promotions

_MAX_NAMED = 8  # columns
_POWER = 0.9
_MARGIN = -float(special.ndtri(1 - _POWER))  # standard deviations above a threshold, for power


@dataclass(frozen=True)
class Sensitivity:
    """The sensitivity of one test at one window size.

    Attributes:
        test: monitor, column, segment, window length.
        rows: of the window.
        level: the significance level that the budget allows.
        attainable: the smallest level that is attainable with the reference; None for slow drift,
            whose limit is computed for the level.
        calibrated: `level` is attainable.
        per_week: expected false alarms of the test per week; 0 when it is not calibrated, since
            its verdicts then open no incident.
        basis: of the null distribution: see `monitors.calibration.null`.
        windows: effective number of independent windows of the reference.
        expected: the reference's value, in the monitor's unit.
        threshold: the value that alarms; None where it differs from case to case.
        detectable: the smallest increase of the value that alarms in 90 % of windows; None for
            slow drift, which detects smaller changes later.
        unit: of `expected`, `threshold` and `detectable`.
    """

    test: HypothesisTest
    rows: float
    level: float
    attainable: float | None
    calibrated: bool
    per_week: float
    basis: Basis
    windows: float
    expected: float | None
    threshold: float | None
    detectable: float | None
    unit: str


def sensitivities(judge: Judge, sizes: Floats) -> list[Sensitivity]:
    """The sensitivity of each test of a judge in windows of some sizes.

    Parameters:
        judge: of one version and segment.
        sizes: rows of the windows.
    """
    results = []
    for test, level in judge.levels.items():
        if test.segment != judge.segment or test.monitor not in judge.monitors:
            continue
        for rows in sizes.tolist():
            result = _sensitivity(judge, judge.monitors[test.monitor], test, level, rows)
            if result is not None:
                results.append(result)
    if judge.segment == names.ALL_ROWS:
        results += _slow_drift(judge, sizes)
    return results


def _slow_drift(judge: Judge, sizes: Floats) -> Iterable[Sensitivity]:
    """Of the sums over windows, whose limit is the same for windows of all sizes."""
    sums = Sequential(judge.settings, judge.calibrator, judge.version)
    seconds = sums.length.seconds
    for column in filter(sums.alerts, sums.columns):
        cusum = sums.cusum(column)
        variation = judge.calibrator.variation(MONITORS[sequential.SOURCE], column, seconds)
        for rows in sizes.tolist():
            yield Sensitivity(
                HypothesisTest(sequential.NAME, column, judge.segment, seconds),
                rows,
                sums.level,
                attainable=None,
                calibrated=cusum is not None,
                per_week=0.0 if cusum is None else sums.level * sums.per_week,
                basis="declared" if variation is None else "windows",
                windows=0.0 if variation is None else variation[1] / variation[0],
                expected=0.0,
                threshold=None if cusum is None else cusum.limit,
                detectable=None,
                unit="sum of effects",
            )


def _sensitivity(
    judge: Judge, monitor: Monitor, test: HypothesisTest, level: float, rows: float
) -> Sensitivity | None:
    reference = Counts.of(judge.reference.total, test.column)
    all_rows = float(reference.rows[0])
    if not all_rows:
        return None
    typical = reference.scaled(np.array([rows / all_rows]))
    size = float(monitor.sizes(typical)[0])
    if size < 1:
        return None
    compared = monitor.compare(typical, reference)
    df = float(compared.df[0])
    null = judge.calibrator.null(monitor, test, size, df, level)
    if null is None:
        return None
    typical = typical.scaled(np.array([min(null.size / size, 1.0)]))
    null = null.resized(null.size, float(monitor.compare(typical, reference).df[0]))
    statistic = null.threshold(level)
    expected = float(compared.expected[0])
    calibrated = null.attainable <= level
    length = next(w for w in judge.settings.windows if w.seconds == test.seconds)
    return Sensitivity(
        test,
        rows,
        level,
        null.attainable,
        calibrated,
        level * budget.windows_per_week(length) if calibrated else 0.0,
        null.basis,
        null.blocks,
        expected if math.isfinite(expected) else None,
        monitor.value_at(statistic, typical, reference),
        _detectable(monitor, statistic, null, typical, reference),
        monitor.unit,
    )


def _detectable(
    monitor: Monitor, statistic: float, null: NullDistribution, typical: Counts, reference: Counts
) -> float | None:
    """For a squared score, the value `_MARGIN` standard deviations above the threshold; for a sum
    of squares, the noncentrality that exceeds the threshold with probability `_POWER`."""
    df = float(monitor.compare(typical, reference).df[0])
    if df == 1.0:
        reached = (math.sqrt(statistic) + _MARGIN * math.sqrt(null.scale)) ** 2
        value = monitor.value_at(reached, typical, reference)
        if value is None:
            return None
        return value - float(monitor.compare(typical, reference).expected[0])
    if not math.isfinite(df):
        return None
    # in units of the null distribution's scale, with its matched degrees of freedom
    noncentrality = special.chndtrinc(statistic * null.df1 / null.scale, null.df1, 1 - _POWER)
    return float(noncentrality) * null.scale / null.df1


def provisional(tests: Iterable[Sensitivity]) -> int:
    """The number of tests that rely on the variation assumed by the config."""
    return sum(test.basis == "declared" for test in tests)


@dataclass(frozen=True)
class SensitivityReport:
    """The sensitivity of all tests against the reference of one version.

    Attributes:
        title: model, version and segment.
        budget: false incidents per week that the config allows.
        tests: one for each test and window size.
        other: upper bounds of false incidents per week of what else has a share of the budget.
    """

    title: str
    budget: float
    tests: list[Sensitivity]
    other: dict[str, float]

    def summary(self, tests: list[Sensitivity]) -> dict[str, object]:
        """The totals, by name."""
        by_size = sorted({test.rows for test in tests})
        return {
            "reference": self.title,
            "budget_per_week": self.budget,
            "expected_false_incidents_per_week": {
                f"{rows:.0f}": sum(test.per_week for test in tests if test.rows == rows)
                for rows in by_size
            },
            "other_per_week": self.other,
            "not_calibrated": sum(not test.calibrated for test in tests),
        }

    def sentences(self, tests: list[Sensitivity]) -> list[str]:
        """The totals, for people."""
        lines = [f"reference: {self.title}; budget: {self.budget:g} false incidents per week"]
        for rows in sorted({test.rows for test in tests}):
            of_size = [test for test in tests if test.rows == rows]
            missed = sum(not test.calibrated for test in of_size)
            weekly = sum(test.per_week for test in of_size)
            lines.append(
                f"windows of {rows:,.0f} rows: at most {weekly:.3f} false incidents per week, "
                f"{missed} of {len(of_size)} tests are not calibrated"
            )
        if number := provisional(tests):
            lines.append(
                f"{number} of {len(tests)} tests are provisional and only open tickets: the "
                "variation between windows is assumed (monitors.assumed_variation), not measured; "
                "set a reference with event times and as many rows per window as in live windows "
                "(driftline reference set)"
            )
        if any(not test.calibrated for test in tests):
            lines.append(
                "to calibrate more tests, use longer windows, monitor fewer columns, raise "
                "false_alarms_per_week, or set a longer reference (driftline reference set)"
            )
        monitors = ", ".join(dict.fromkeys(test.test.monitor for test in tests))
        columns = list(dict.fromkeys(test.test.column for test in tests))
        few = ", ".join(columns) if len(columns) <= _MAX_NAMED else f"{len(columns)} columns"
        other = ", ".join(f"{name} {weekly:.3f}" for name, weekly in self.other.items())
        lines.append(
            f"included: {monitors} of {few}; in addition, at most per week: {other}; monitors with "
            "a fixed limit (latency, no traffic, Evidently, thresholds) are outside the budget"
        )
        return lines


def of_model(
    config: Config, model: str, version: int | None, segment: str, rows: list[int] | None
) -> SensitivityReport:
    """The sensitivity report of the stored reference of a model's version.

    Parameters:
        version: None for the champion.
        rows: window sizes; None for the quartiles of the reference's own windows.

    Raises:
        DriftlineError: there is no reference.
    """
    section = config.model(model)
    with connect(config.local_postgres(), "read") as connection:
        number = promotions.champion(connection, model) if version is None else version
        if number is None:
            raise DriftlineError(
                f"no version of model {model!r} was loaded yet: 'driftline run {model}' stores its "
                "reference"
            )
        judges = Judges(model, section)
        judges.refresh(connection)
        judge = judges.get(connection, number, segment)
        tests = sensitivities(judge, np.array(rows, dtype=float) if rows else typical_rows(judge))
    title = f"{model} version {number}" + (f", {segment}" if segment else "")
    allowed = section.monitors.false_alarms_per_week
    other = {name: share * allowed for name, share in budget.other_shares(section).items()}
    return SensitivityReport(title, allowed, tests, {**other, **_other_tests(judge)})


def _other_tests(judge: Judge) -> dict[str, float]:
    """Upper bounds of false incidents per week of column tests that a judge does not run."""
    windows = judge.settings.windows
    per_week = {length.seconds: budget.windows_per_week(length) for length in windows}
    rates: dict[str, float] = {}
    for test, level in judge.levels.items():
        listed = test.monitor in judge.monitors
        if not listed or test.segment != judge.segment:
            name = (test.segment or "all rows") if listed else test.monitor
            rates[name] = rates.get(name, 0.0) + level * per_week[test.seconds]
    if judge.segment != names.ALL_ROWS:
        rates[sequential.NAME] = judge.settings.false_alarms_per_week * budget.SEQUENTIAL
    return rates


def typical_rows(judge: Judge) -> Floats:
    """Quartiles of the rows of the reference's windows of the longest length."""
    longest = max(window.seconds for window in judge.settings.windows)
    windows = judge.reference.windows(longest)
    if windows is None:
        return np.array([100.0, 1_000.0, 10_000.0])
    first = judge.columns[0]
    rows = Counts.of_many(judge.reference.binning, windows.counts, windows.sums, first).rows
    quartiles: Floats = np.unique(np.quantile(rows, (0.25, 0.5, 0.75)).round())
    return quartiles[quartiles > 0]


def effective_windows(judge: Judge) -> dict[int, float]:
    """The effective number of independent windows of the reference, by their length in seconds.

    The smallest over the numeric columns, from the autocorrelation of their means; 0 when there
    are no windows of that length.
    """
    effective = {}
    for length in judge.settings.windows:
        variations = [
            judge.calibrator.variation(MONITORS["location"], name, length.seconds)
            for name in judge.columns
            if applies_to(MONITORS["location"], judge.reference.binning.by_name[name])
        ]
        counts = [0.0 if v is None else v[1] / v[0] for v in variations]
        effective[length.seconds] = min(counts, default=0.0)
    return effective
