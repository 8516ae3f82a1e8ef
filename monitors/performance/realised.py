"""Performance as labels show it, against the first windows of the same version.

A training file's own performance is no baseline: it was fitted to. So a window is compared with the
version's windows of the first weeks, each weighed by its labels, and the difference, in standard
errors, with how much those windows differ from one another: the law of windows, as for columns.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np

from driftline import names
from driftline.config import Metric
from driftline.monitors.calibration.calibrator import FEWEST, each_with_the_others, fit
from driftline.monitors.calibration.null import Null
from driftline.monitors.columns.monitor import Comparison, moved, number
from driftline.monitors.performance.measured import Measured, worse
from driftline.monitors.windows.verdict import Status, Verdict
from driftline.profile.binning import Floats
from driftline.storage.monitoring.accepted_levels import Level
from driftline.storage.monitoring.verdicts import Past

_MEASURED = ("ok", "not_calibrated", "shown")
_DISAGREES = 1e-3  # chance of a window that could not alarm, below which nothing is learned from it
_FAR = 10.0  # medians of the distances from a median: seldom by chance


def name(metric: Metric) -> str:
    """The monitor's."""
    return f"{names.REALISED}{metric}"


def baseline(past: Sequence[Past], length: timedelta, accepted: Level | None = None) -> list[Past]:
    """The first windows of a version: those that end within `length` of its first one, and at
    least `FEWEST`, or windows of a week would never have enough.

    Windows that alarmed are left out, so that what is bad does not become usual, and so are those
    that were too few to alarm and disagree with the ones before them. Of the first `FEWEST`, which
    nothing came before, those are left out that disagree with the others.

    Args:
        past: windows of one version and length, in order of their ends.
        accepted: a level that a person accepted: what came before is left out.
    """
    if accepted is not None:
        past = [one for one in past if one.end > accepted.since]
    usable = [
        one
        for one in past
        if one.value is not None
        and (_agrees(one) or (accepted is not None and one.end <= accepted.until))
    ]
    usable = [*_that_agree(usable[:FEWEST]), *usable[FEWEST:]]
    within = sum(one.end - usable[0].end <= length for one in usable)
    return usable[: max(within, FEWEST)]


def _agrees(one: Past) -> bool:
    if one.status == "not_calibrated" and one.p_value is not None:
        return one.p_value >= _DISAGREES
    return one.status in _MEASURED


def _that_agree(first: Sequence[Past]) -> list[Past]:
    """Those of a few windows that lie near their median, in the median of their distances."""
    if not first:
        return []
    values = np.array([one.value for one in first], dtype=np.float64)
    rows = np.array([one.rows for one in first], dtype=np.float64)
    apart = np.abs(values - np.median(values)) * np.sqrt(rows)
    usual = float(np.median(apart))
    near = (apart <= _FAR * usual) | (usual == 0)
    return [one for one, agrees in zip(first, near, strict=True) if agrees]


def judge(found: Measured, first: Sequence[Past], level: float, version: int) -> Verdict:
    """Judge whether a window is worse than the baseline by more than chance.

    Args:
        found: the window's metric.
        first: the baseline's windows.
        level: the false-alarm rate.

    Returns:
        A verdict whose effect is positive when the window is worse.
    """
    low, high = found.interval
    verdict = Verdict(
        name(found.metric),
        "performance",
        names.SCORE,
        "not_calibrated",
        found.rows,
        value=found.value,
        level=level,
        detail=str(found),
        version=version,
        low=low,
        high=high,
    )
    if len(first) < FEWEST:
        few = f"; learning, {len(first)} of {FEWEST} windows"
        return replace(verdict, detail=verdict.detail + few)
    values = np.array([one.value for one in first], dtype=np.float64)
    rows = np.array([one.rows for one in first], dtype=np.float64)
    spread = max(found.error, 1e-9) * math.sqrt(found.rows)  # of one event
    null = _null(found.metric, values, rows, spread)
    assert null is not None
    null = null.resized(found.rows, 1.0)
    usual = float(rows @ values / rows.sum())
    error = spread * math.sqrt(1 / found.rows + 1 / rows.sum())
    z = worse(found.metric) * (found.value - usual) / error
    # the law is of both tails together, and bad windows may well have most of it: not halved
    p = float(null.p_value(z**2)) if z > 0 else 1.0
    limit = worse(found.metric) * math.sqrt(null.threshold(level)) * error
    supported = null.attainable <= level
    status: Status = "alarm" if p <= level else "ok"
    verdict = replace(
        verdict,
        status=status if supported else "not_calibrated",
        expected=usual,
        threshold=usual + limit,
        p_value=p,
        effect=z / math.sqrt(null.scale),
        detail=f"{found.metric} {moved(usual, found.value)}, from the first {len(first)} windows "
        f"(95 %: {number(low)} to {number(high)}; alarms from "
        f"{number(usual + limit)})",
    )
    if supported:
        return verdict
    why = (
        f"; a level of {level:.1g} is wanted, {null.blocks:.0f} effective windows support "
        f"{null.attainable:.1g}: lengthen monitors.performance.baseline, or the windows"
    )
    return replace(verdict, detail=verdict.detail + why)


def _null(metric: Metric, values: Floats, rows: Floats, spread: float) -> Null | None:
    """The law of windows of the baseline, each compared with the others."""
    others, apart = each_with_the_others(values, rows)
    z = apart / spread
    found = Comparison(values, others, z**2, np.ones_like(z), np.sign(z) * worse(metric))
    return fit(found, float(np.median(rows)), len(rows))
