"""What a reference can support: thresholds by size of window, and the changes that are found."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from driftline.profile.binning import Floats
from monitors import budget
from monitors.budget import Look
from monitors.counts import Counts
from monitors.judge import Judge
from monitors.monitor import Monitor
from monitors.null import Basis, Null

_POWER = 0.9
_BEYOND = -float(special.ndtri(1 - _POWER))  # standard deviations above a threshold, to be sure


@dataclass(frozen=True)
class Support:
    """One look at one size of window.

    Attributes:
        look: monitor, column, segment, length of windows.
        rows: of the window.
        level: the false-alarm rate that the budget gives the look.
        attainable: the smallest that the reference can honour.
        honoured: level is not below attainable.
        per_week: expected false alarms of this look a week, when it is honoured; else 0, since
            such verdicts open no incident.
        basis: what the law comes from: see `monitors.null`.
        windows: effective number of independent windows of the reference.
        expected: the reference's value, in the monitor's unit.
        threshold: the value that alarms; None where it differs from case to case.
        detectable: the smallest change of the value, upwards, that alarms in 90 % of windows.
        unit: of these three.
    """

    look: Look
    rows: float
    level: float
    attainable: float
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
    return found


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
