"""Performance measured with labels, compared with the first windows of the same version.

Performance on training data is not a baseline: the model was fitted to it. So a window is compared
with the version's windows of the first weeks, each weighted by its labels. The null distribution of
the difference, in standard errors, comes from the variation between those windows, as for columns.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from driftline import names
from driftline.config import Metric
from driftline.monitors.calibration.calibrator import MIN_WINDOWS, fit, leave_one_out
from driftline.monitors.calibration.null import NullDistribution
from driftline.monitors.columns.monitor import Comparison, moved, number
from driftline.monitors.performance.measured import Measured, worse
from driftline.monitors.windows.verdict import Status, Verdict
from driftline.profile.binning import Floats
from driftline.storage.monitoring.accepted_levels import AcceptedLevel
from driftline.storage.monitoring.verdicts import PastVerdict

_MEASURED = ("ok", "not_calibrated", "shown")
_OUTLIER_P = 1e-3  # a window that could not alarm, with a smaller p-value, is not in the baseline
_OUTLIER_DISTANCE = 10.0  # median distances from the median: rarely exceeded by chance


def name(metric: Metric) -> str:
    """The name of the monitor."""
    return f"{names.REALISED}{metric}"


def baseline(
    past: Sequence[PastVerdict], length: timedelta, accepted: AcceptedLevel | None = None
) -> list[PastVerdict]:
    """The first windows of a version: those that end within `length` of its first one, and at
    least `MIN_WINDOWS`, or windows of a week would never have enough.

    Windows that alarmed are excluded, so that bad performance does not become the baseline, and so
    are outliers among windows that had too few predecessors to alarm. Of the first `MIN_WINDOWS`,
    which have none, those far from the median are excluded.

    Parameters:
        past: windows of one version and length, in order of their ends.
        accepted: a performance level that a user accepted: earlier windows are excluded.
    """
    if accepted is not None:
        past = [window for window in past if window.end > accepted.since]
    usable = [
        window
        for window in past
        if window.value is not None
        and (_is_normal(window) or (accepted is not None and window.end <= accepted.until))
    ]
    usable = [*_without_outliers(usable[:MIN_WINDOWS]), *usable[MIN_WINDOWS:]]
    within = sum(window.end - usable[0].end <= length for window in usable)
    return usable[: max(within, MIN_WINDOWS)]


def _is_normal(window: PastVerdict) -> bool:
    if window.status == "not_calibrated" and window.p_value is not None:
        return window.p_value >= _OUTLIER_P
    return window.status in _MEASURED


def _without_outliers(first: Sequence[PastVerdict]) -> list[PastVerdict]:
    """The windows near the median of a few, in units of the median distance from it."""
    if not first:
        return []
    values = np.array([window.value for window in first], dtype=np.float64)
    rows = np.array([window.rows for window in first], dtype=np.float64)
    distances = np.abs(values - np.median(values)) * np.sqrt(rows)
    unit = float(np.median(distances))
    near = (distances <= _OUTLIER_DISTANCE * unit) | (unit == 0)
    return [window for window, is_near in zip(first, near, strict=True) if is_near]


def judge(measured: Measured, first: Sequence[PastVerdict], level: float, version: int) -> Verdict:
    """Test whether a window is significantly worse than the baseline.

    Parameters:
        measured: the window's metric.
        first: the baseline's windows.
        level: the significance level.

    Returns:
        A verdict whose effect is positive when the window is worse.
    """
    low, high = measured.interval
    verdict = Verdict(
        name(measured.metric),
        "performance",
        names.SCORE,
        "not_calibrated",
        measured.rows,
        value=measured.value,
        level=level,
        detail=str(measured),
        version=version,
        low=low,
        high=high,
    )
    if len(first) < MIN_WINDOWS:
        few = f"; learning, {len(first)} of {MIN_WINDOWS} windows"
        return replace(verdict, detail=verdict.detail + few)
    values = np.array([window.value for window in first], dtype=np.float64)
    rows = np.array([window.rows for window in first], dtype=np.float64)
    spread = max(measured.error, 1e-9) * math.sqrt(measured.rows)  # of one event
    null = _null(measured.metric, values, rows, spread)
    assert null is not None
    null = null.resized(measured.rows, 1.0)
    expected = float(rows @ values / rows.sum())
    error = spread * math.sqrt(1 / measured.rows + 1 / rows.sum())
    z = worse(measured.metric) * (measured.value - expected) / error
    # two-sided and not halved: bad windows can have most of the null distribution's tails
    p = float(null.p_value(z**2)) if z > 0 else 1.0
    limit = worse(measured.metric) * math.sqrt(null.threshold(level)) * error
    attainable = null.attainable <= level
    status: Status = "alarm" if p <= level else "ok"
    verdict = replace(
        verdict,
        status=status if attainable else "not_calibrated",
        expected=expected,
        threshold=expected + limit,
        p_value=p,
        effect=z / math.sqrt(null.scale),
        detail=f"{measured.metric} {moved(expected, measured.value)}, from the first {len(first)} "
        f"windows (95 %: {number(low)} to {number(high)}; alarms from {number(expected + limit)})",
    )
    if attainable:
        return verdict
    reason = (
        f"; significance level {level:.1g} not attainable, at best {null.attainable:.1g} with "
        f"{null.blocks:.0f} effective windows: use a longer monitors.performance.baseline or "
        "longer windows"
    )
    return replace(verdict, detail=verdict.detail + reason)


def _null(metric: Metric, values: Floats, rows: Floats, spread: float) -> NullDistribution | None:
    """The null distribution of the baseline's windows, each compared with the others."""
    other_means, distances = leave_one_out(values, rows)
    z = distances / spread
    sign = np.sign(z) * worse(metric)
    comparison = Comparison(values, other_means, z**2, np.ones_like(z), sign)
    return fit(comparison, float(np.median(rows)), len(rows))
