"""Two versions on the same window: whether the gap between their scores is normal.

Two versions never score alike, so the gap of their mean scores is compared with that of the same
two versions in earlier windows: the weighted mean of those, and their spread about one another, by
the window-to-window null distribution that columns have. Changes are not part of the baseline.

Versions that have scored exactly alike so far have no spread at all, and would alarm for a rounding
error. So the spread is at least a tenth of the standard error that the gap would have if the two
had scored different rows: a smaller gap is lost in the noise of either mean.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from driftline import names
from driftline.config.monitors import Check
from driftline.monitors.calibration.calibrator import MIN_WINDOWS, fit, leave_one_out
from driftline.monitors.calibration.null import NullDistribution
from driftline.monitors.columns.monitor import Comparison, number
from driftline.monitors.windows.verdict import Verdict
from driftline.profile.binning import Floats, LogBins, NumericBins
from driftline.profile.profile import ColumnProfile, Profile

NAME = "version_against_version"
_NEGLIGIBLE = 0.1  # of a standard error
_Z = 1.96  # standard errors to either side of an interval of 95 %
WINDOWS = 600  # earlier ones in the baseline, at most


def compare(champion: Profile, other: Profile, versions: tuple[int, int]) -> Verdict | None:
    """The gap of the mean scores: the other's minus the champion's, in the score's unit.

    Parameters:
        champion, other: their profiles of one window.
        versions: the other's number, and the champion's.

    Returns:
        A verdict that is not judged yet, with the interval that the gap would have if they had
        scored different rows; None when their scores have different bins, or one has no rows.
    """
    if champion.binning.by_name[names.SCORE] != other.binning.by_name[names.SCORE]:
        return None
    first, second = champion.column(names.SCORE), other.column(names.SCORE)
    rows = min(int(first.values.sum()), int(second.values.sum()))
    if not rows:
        return None
    version, against = versions
    gap = second.mean() - first.mean()
    error = float(np.sqrt(_squared_error(first) + _squared_error(second)))
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
    pair: Verdict, past: Sequence[tuple[float, int]], level: float, check: Check | None = None
) -> Verdict:
    """Judge a gap by those before it.

    Parameters:
        pair: the result of `compare`.
        past: (gap, rows) of the same two versions in earlier windows, in order of time.
        level: significance level.
        check: its section in the config.

    >>> gap = Verdict(NAME, "drift", "score", "shown", 1_000, value=0.2, version=3, against=2)
    >>> rng = np.random.default_rng(0)
    >>> past = [(0.01 + float(noise), 1_000) for noise in rng.normal(0, 0.002, 300)]
    >>> judge(gap, past, 1e-3).status
    'alarm'
    >>> judge(gap, past[:5], 1e-3).status
    'not_calibrated'
    """
    check = check or Check()
    assert pair.value is not None
    gap = pair.value
    detail = f"mean score of version {pair.version} minus version {pair.against}: {number(gap)}"
    pair = replace(pair, alerts=check.alert is not False, threshold=None, detail=detail)
    if not pair.alerts:
        return pair
    if check.threshold is not None:
        over = abs(gap) > check.threshold
        return replace(pair, status="alarm" if over else "ok", threshold=check.threshold)
    if len(past) < MIN_WINDOWS:
        detail += f"; learning, {len(past)} of {MIN_WINDOWS} earlier windows"
        return replace(pair, status="not_calibrated", level=level, detail=detail)
    gaps, rows = (np.array(column, dtype=np.float64) for column in zip(*past, strict=True))
    null = _null_distribution(gaps, rows, _min_variance(pair))
    expected = float(rows @ gaps / rows.sum())
    error = float(np.sqrt(1 / pair.rows + 1 / rows.sum()))
    z = (gap - expected) / error
    p, limit = float(null.p_value(z**2)), float(np.sqrt(null.threshold(level))) * error
    attainable = null.attainable <= level
    detail += f", normally {number(expected)} ± {number(limit)} ({len(past)} earlier windows)"
    if not attainable:
        detail += f"; significance level {level:.1g} not attainable, at best {null.attainable:.1g}"
    return replace(
        pair,
        status="not_calibrated" if not attainable else "alarm" if p <= level else "ok",
        expected=expected,
        threshold=expected + np.sign(z) * limit,
        p_value=p,
        level=level,
        effect=z / float(np.sqrt(null.scale)),
        detail=detail,
    )


def _squared_error(scores: ColumnProfile) -> float:
    """Squared standard error of the mean of independent rows, taken as spread evenly within a bin
    (Sheppard 1898)."""
    assert isinstance(scores.bins, NumericBins | LogBins)
    n = int(scores.values.sum())
    widths = np.pad(np.diff(scores.bins.edges), 1)  # values outside count as at the limits
    squares = (scores.centres - scores.mean()) ** 2 + widths**2 / 12
    return float(squares @ scores.values) / n**2


def _min_variance(pair: Verdict) -> float:
    """The smallest variance of one row's difference that the baseline may have."""
    if pair.low is None or pair.high is None:
        return 0.0
    error = (pair.high - pair.low) / (2 * _Z)
    return (_NEGLIGIBLE * error) ** 2 * pair.rows


def _null_distribution(gaps: Floats, rows: Floats, min_variance: float) -> NullDistribution:
    """The window-to-window null distribution, each compared with the others. Rows alone do not
    give one, because both versions score the same rows.

    Parameters:
        min_variance: of one row's difference.
    """
    expected, z = leave_one_out(gaps, rows)
    scale = max(float((z**2).mean()), min_variance, float(np.finfo(float).tiny))
    comparison = Comparison(gaps, expected, z**2 / scale, np.ones_like(z), np.sign(z))
    null = fit(comparison, float(np.median(rows)), len(rows))
    assert null is not None
    return replace(null, scale=null.scale * scale, basis="windows")
