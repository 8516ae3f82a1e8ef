"""From expected false incidents per week to the significance level (`alpha`) of each test.

By the union bound the levels of all tests can be summed, however the tests depend on each other:
columns, monitors, segments, window lengths, overlapping windows, the sequential detector.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from driftline import names
from driftline.config import Model
from driftline.config.monitors import Monitors, WindowLength
from driftline.monitors.columns.monitor import Monitor, applies_to
from driftline.profile.binning import Binning

#: Shares of a model's false-alarm budget.
SEQUENTIAL = 0.1
VOLUME = 0.05
REJECTED = 0.05
VERSIONS = 0.05
PERFORMANCE = 0.2  # only of models with alerts on realised performance
COLUMNS = 1 - SEQUENTIAL - VOLUME - REJECTED - VERSIONS

_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class HypothesisTest:
    """A test repeated in each window: monitor, column, segment and window length."""

    monitor: str
    column: str
    segment: str
    seconds: int


def column_share(model: Model) -> float:
    """The share of the budget for tests of columns."""
    tests_performance = model.labels is not None and model.monitors.performance.alert
    return COLUMNS - PERFORMANCE if tests_performance else COLUMNS


def other_shares(model: Model) -> dict[str, float]:
    """The shares of the budget for tests that are not derived from columns, by name."""
    shares = {"volume": VOLUME, "rejected messages": REJECTED, "versions side by side": VERSIONS}
    tests_performance = column_share(model) < COLUMNS
    return {**shares, "realised performance": PERFORMANCE} if tests_performance else shares


def stream_level(settings: Monitors, share: float) -> float:
    """The significance level of one test per window of every length, which all share `share`."""
    tests = sum(windows_per_week(length) for length in settings.windows)
    return min(share * settings.false_alarms_per_week / tests, 0.5)


def performance_level(settings: Monitors, length: WindowLength) -> float:
    """The significance level of one test of the realised performance of a window.

    Half of what the budget allows: a window is tested again when the rest of its labels arrives.
    """
    share = PERFORMANCE * settings.false_alarms_per_week / len(settings.windows)
    return min(share / windows_per_week(length) / 2, 0.25)


def significance_levels(
    settings: Monitors,
    binning: Binning,
    monitors: Mapping[str, Monitor],
    more: Iterable[str] = (),
    share: float = COLUMNS,
) -> dict[HypothesisTest, float]:
    """The level of each test that may open incidents; the expected false alarms sum to the budget.

    Parameters:
        binning: the columns.
        monitors: the column monitors.
        more: names of alerting monitors of whole windows, each with one test.
        share: the share of the budget for all of these tests.
    """
    weights: dict[HypothesisTest, float] = {}
    rates: dict[HypothesisTest, float] = {}
    for length in settings.windows:
        for segment in (names.ALL_ROWS, *settings.segments):
            for test, weight in _column_tests(settings, binning, monitors, length, segment):
                weights[test] = weight
                rates[test] = windows_per_week(length)
        for name in more:
            test = HypothesisTest(name, "", names.ALL_ROWS, length.seconds)
            weights[test] = 1.0
            rates[test] = windows_per_week(length)
    total = sum(weights.values())
    allowed = settings.false_alarms_per_week * share
    return {test: allowed * weight / total / rates[test] for test, weight in weights.items()}


def multivariate_monitors(settings: Monitors) -> tuple[str, ...]:
    """The alerting monitors that test all columns of a window together."""
    section = settings.multivariate
    return (section.method,) if section is not None and section.alert else ()


def windows_per_week(length: WindowLength) -> float:
    """The number of windows that end in a week."""
    return _WEEK / length.step


def alerts(settings: Monitors, monitor: Monitor, column: str) -> bool:
    """Whether a monitor may open incidents for a column."""
    if column in settings.ignore:
        return False
    check = settings.checks.get(monitor.name)
    return monitor.alerts if check is None or check.alert is None else check.alert


def monitored_columns(settings: Monitors, binning: Binning) -> list[str]:
    """The tested columns, including the score; latencies have objectives instead."""
    columns = [b.name for b in binning.columns if b.name not in (names.INFERENCE_MS, names.LAG_MS)]
    if settings.columns is None:
        return columns
    return [name for name in columns if name in settings.columns or name == names.SCORE]


def _column_tests(
    settings: Monitors,
    binning: Binning,
    monitors: Mapping[str, Monitor],
    length: WindowLength,
    segment: str,
) -> Iterable[tuple[HypothesisTest, float]]:
    for column in monitored_columns(settings, binning):
        for monitor in monitors.values():
            check = settings.checks.get(monitor.name)
            fixed = check is not None and check.threshold is not None
            if (
                applies_to(monitor, binning.by_name[column])
                and alerts(settings, monitor, column)
                and not fixed
            ):
                weight = monitor.weight * (1.0 if check is None else check.weight)
                yield HypothesisTest(monitor.name, column, segment, length.seconds), weight
