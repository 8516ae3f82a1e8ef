"""Two versions on the same window: whether the gap between their scores is what it usually is.

Two versions never score alike, so the gap of their mean scores is compared with that of the same
two versions in earlier windows: the weighted mean of those, and their spread about one another, by
the law of windows that columns have. Windows that alarmed are left out of what is usual.

Versions that have scored exactly alike so far have shown no spread at all, and would alarm for a
rounding. So the spread counts as at least a tenth of the standard error that the gap would have if
the two had scored different rows: below that a gap is lost in the noise of either mean.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from driftline import names
from driftline.config.monitors import Check
from driftline.monitors.calibration.calibrator import FEWEST, each_with_the_others, fit
from driftline.monitors.calibration.null import Null
from driftline.monitors.columns.monitor import Comparison, number
from driftline.monitors.windows.verdict import Verdict
from driftline.profile.binning import Floats, LogBins, NumericBins
from driftline.profile.profile import ColumnProfile, Profile

NAME = "version_against_version"
_NEGLIGIBLE = 0.1  # of a standard error
_Z = 1.96  # standard errors to either side of an interval of 95 %
WINDOWS = 600  # earlier ones that say what is usual, at most


def compare(champion: Profile, other: Profile, versions: tuple[int, int]) -> Verdict | None:
    """The gap of the mean scores: the other's less the champion's, in the score's unit.

    Args:
        champion, other: their profiles of one window.
        versions: the other's number, and the champion's.

    Returns:
        Not judged yet, with the interval that the gap would have if they had scored different
        rows; None when their scores have different bins, or one has none.
    """
    if champion.binning.by_name[names.SCORE] != other.binning.by_name[names.SCORE]:
        return None
    one, two = champion.column(names.SCORE), other.column(names.SCORE)
    rows = min(int(one.values.sum()), int(two.values.sum()))
    if not rows:
        return None
    version, against = versions
    gap = two.mean() - one.mean()
    error = float(np.sqrt(_squared_error(one) + _squared_error(two)))
    return Verdict(
        NAME,
        "drift",
        names.SCORE,
        "shown",
        rows,
        value=gap,
        version=version,
        against=against,
        low=gap - _Z * error,
        high=gap + _Z * error,
    )


def judge(
    found: Verdict, past: Sequence[tuple[float, int]], level: float, check: Check | None = None
) -> Verdict:
    """Judge a gap by those before it.

    Args:
        found: what `compare` gave.
        past: (gap, rows) of the same two versions in earlier windows, in order of time.
        level: the false-alarm rate.
        check: how the config wants it judged.

    >>> gap = Verdict(NAME, "drift", "score", "shown", 1_000, value=0.2, version=3, against=2)
    >>> rng = np.random.default_rng(0)
    >>> past = [(0.01 + float(noise), 1_000) for noise in rng.normal(0, 0.002, 300)]
    >>> judge(gap, past, 1e-3).status
    'alarm'
    >>> judge(gap, past[:5], 1e-3).status
    'not_calibrated'
    """
    check = check or Check()
    assert found.value is not None
    gap, said = found.value, _gap(found.value, found.version, found.against)
    found = replace(found, alerts=check.alert is not False, threshold=None, detail=said)
    if not found.alerts:
        return found
    if check.threshold is not None:
        over = abs(gap) > check.threshold
        return replace(found, status="alarm" if over else "ok", threshold=check.threshold)
    if len(past) < FEWEST:
        few = f"{said}; {len(past)} earlier windows are known, {FEWEST} are needed"
        return replace(found, status="not_calibrated", level=level, detail=few)
    gaps, rows = (np.array(column, dtype=np.float64) for column in zip(*past, strict=True))
    null = _law(gaps, rows, _least(found))
    usual = float(rows @ gaps / rows.sum())
    error = float(np.sqrt(1 / found.rows + 1 / rows.sum()))
    z = (gap - usual) / error
    p, limit = float(null.p_value(z**2)), float(np.sqrt(null.threshold(level))) * error
    supported = null.attainable <= level
    said += f", usually {number(usual)} (within {number(limit)}, {len(past)} earlier windows)"
    if not supported:
        said += f"; a level of {level:.1g} is wanted, they support {null.attainable:.1g}"
    return replace(
        found,
        status="not_calibrated" if not supported else "alarm" if p <= level else "ok",
        expected=usual,
        threshold=usual + np.sign(z) * limit,
        p_value=p,
        level=level,
        effect=z / float(np.sqrt(null.scale)),
        detail=said,
    )


def _squared_error(scores: ColumnProfile) -> float:
    """Of the mean of independent rows; within a bin they count as spread evenly (Sheppard 1898)."""
    assert isinstance(scores.bins, NumericBins | LogBins)
    n = int(scores.values.sum())
    widths = np.pad(np.diff(scores.bins.edges), 1)  # what is outside counts as at the limits
    squares = (scores.centres - scores.mean()) ** 2 + widths**2 / 12
    return float(squares @ scores.values) / n**2


def _least(found: Verdict) -> float:
    """The smallest variance of one row's difference that counts as usual."""
    if found.low is None or found.high is None:
        return 0.0
    error = (found.high - found.low) / (2 * _Z)
    return (_NEGLIGIBLE * error) ** 2 * found.rows


def _law(gaps: Floats, rows: Floats, least: float) -> Null:
    """The law of the windows, each compared with the others; rows alone say nothing here, as both
    versions score the same ones.

    Args:
        least: the variance of one row's difference, at least.
    """
    others, z = each_with_the_others(gaps, rows)
    scale = max(float((z**2).mean()), least, float(np.finfo(float).tiny))
    found = Comparison(gaps, others, z**2 / scale, np.ones_like(z), np.sign(z))
    null = fit(found, float(np.median(rows)), len(rows))
    assert null is not None
    return replace(null, scale=null.scale * scale, basis="windows")


def _gap(gap: float, version: int, against: int) -> str:
    return f"mean score of version {version} less that of {against}: {number(gap)}"
