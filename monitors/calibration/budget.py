"""From expected false incidents a week to the level of each look.

By the union bound the levels of all looks may simply be summed, whatever depends on what: columns,
monitors, segments, lengths of windows, positions of a sliding one, the sequential detector.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from driftline import names
from driftline.config import Model
from driftline.config.monitors import Monitors, WindowLength
from driftline.monitors.columns.monitor import Monitor, takes
from driftline.profile.binning import Binning

#: Shares of a model's budget.
SEQUENTIAL = 0.1
VOLUME = 0.05
REJECTED = 0.05
VERSIONS = 0.05
PERFORMANCE = 0.2  # of models whose labels are judged
COLUMNS = 1 - SEQUENTIAL - VOLUME - REJECTED - VERSIONS

_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Look:
    """One series of looks: a monitor at a column of a segment, in windows of one length."""

    monitor: str
    column: str
    segment: str
    seconds: int


def columns(model: Model) -> float:
    """The share of the budget that the columns of a model have."""
    judged = model.labels is not None and model.monitors.performance.alert
    return COLUMNS - PERFORMANCE if judged else COLUMNS


def beside_columns(model: Model) -> dict[str, float]:
    """Shares of the budget of what looks neither at columns nor adds them up, by name."""
    shares = {"volume": VOLUME, "rejected messages": REJECTED, "versions side by side": VERSIONS}
    judged = columns(model) < COLUMNS
    return {**shares, "realised performance": PERFORMANCE} if judged else shares


def stream(settings: Monitors, share: float) -> float:
    """The false-alarm rate of one look at each window of every length, which together have a share
    of the budget."""
    looks = sum(per_week(length) for length in settings.windows)
    return min(share * settings.false_alarms_per_week / looks, 0.5)


def performance(settings: Monitors, length: WindowLength) -> float:
    """The false-alarm rate of one look at the realised performance of a window.

    Half of what the budget gives: a window is judged again as the rest of its labels comes.
    """
    share = PERFORMANCE * settings.false_alarms_per_week / len(settings.windows)
    return min(share / per_week(length) / 2, 0.25)


def levels(
    settings: Monitors,
    binning: Binning,
    monitors: Mapping[str, Monitor],
    more: Iterable[str] = (),
    share: float = COLUMNS,
) -> dict[Look, float]:
    """The false-alarm rate of each look that may open incidents; they sum to the budget.

    Args:
        binning: which columns there are.
        monitors: the column monitors.
        more: names of alerting monitors of the window as a whole, each one look.
        share: of the budget, for all of them.
    """
    weights: dict[Look, float] = {}
    rates: dict[Look, float] = {}
    for length in settings.windows:
        for segment in (names.ALL_ROWS, *settings.segments):
            for look, weight in _looks(settings, binning, monitors, length, segment):
                weights[look] = weight
                rates[look] = per_week(length)
        for name in more:
            look = Look(name, "", names.ALL_ROWS, length.seconds)
            weights[look] = 1.0
            rates[look] = per_week(length)
    total = sum(weights.values())
    allowed = settings.false_alarms_per_week * share
    return {look: allowed * weight / total / rates[look] for look, weight in weights.items()}


def whole(settings: Monitors) -> tuple[str, ...]:
    """The alerting monitors that judge all columns of a window together."""
    chosen = settings.multivariate
    return (chosen.method,) if chosen is not None and chosen.alert else ()


def per_week(length: WindowLength) -> float:
    """How many windows end in a week."""
    return _WEEK / length.step


def alerts(settings: Monitors, monitor: Monitor, column: str) -> bool:
    """Whether a monitor may open incidents for a column."""
    if column in settings.ignore:
        return False
    check = settings.checks.get(monitor.name)
    return monitor.alerts if check is None or check.alert is None else check.alert


def watched(settings: Monitors, binning: Binning) -> list[str]:
    """The columns that are judged, the score among them; latencies have objectives instead."""
    known = [b.name for b in binning.columns if b.name not in (names.INFERENCE_MS, names.LAG_MS)]
    if settings.columns is None:
        return known
    return [name for name in known if name in settings.columns or name == names.SCORE]


def _looks(
    settings: Monitors,
    binning: Binning,
    monitors: Mapping[str, Monitor],
    length: WindowLength,
    segment: str,
) -> Iterable[tuple[Look, float]]:
    for column in watched(settings, binning):
        for monitor in monitors.values():
            check = settings.checks.get(monitor.name)
            fixed = check is not None and check.threshold is not None
            if (
                takes(monitor, binning.by_name[column])
                and alerts(settings, monitor, column)
                and not fixed
            ):
                weight = monitor.weight * (1.0 if check is None else check.weight)
                yield Look(monitor.name, column, segment, length.seconds), weight
