"""Volume against the expected rhythm: as many events as at this time of day on the days before.

The logarithm of a count is compared with those of the same time on up to 28 days before: their
median, their spread (by the median of deviations, at least that of counting), and Student's t for
one more observation, Hahn & Meeker (1991), Statistical Intervals, section 4.7.
"""

import numpy as np
from scipy import stats

from driftline.profile.binning import Floats
from monitors.verdict import Verdict

NAME = "volume"
DAYS = 28  # days before that are looked at
FEWEST = 7  # of them, to say anything
_NEVER_BELOW = 0.05  # spread of log counts: no stream keeps its rhythm better


def judge(count: int, past: Floats, level: float) -> Verdict:
    """Judge how many events a window has.

    Args:
        count: its events.
        past: float64[m], the events of the same time on earlier days.
        level: the false-alarm rate.

    >>> judge(0, np.full(28, 1_000.0), 1e-4).status
    'alarm'
    >>> judge(0, np.zeros(3), 1e-4).status
    'not_calibrated'
    """
    if len(past) < FEWEST:
        detail = f"{count:,} events; {len(past)} earlier days are known, {FEWEST} are needed"
        return Verdict(
            NAME,
            "volume",
            "",
            "not_calibrated",
            count,
            value=float(count),
            level=level,
            detail=detail,
        )
    logs = np.log1p(past)
    centre = float(np.median(logs))
    expected = float(np.expm1(centre))
    m = len(logs)
    spread = max(
        1.4826 * float(np.median(np.abs(logs - centre))),
        float(logs.std(ddof=1)),
        1 / np.sqrt(max(expected, 1.0)),
        _NEVER_BELOW,
    ) * np.sqrt(1 + 1 / m)
    t = (np.log1p(count) - centre) / spread
    p = float(2 * stats.t.sf(abs(t), m - 1))
    margin = float(stats.t.isf(level / 2, m - 1)) * spread
    low, high = np.expm1(centre - margin), np.expm1(centre + margin)
    return Verdict(
        NAME,
        "volume",
        "",
        "alarm" if p <= level else "ok",
        count,
        value=float(count),
        expected=expected,
        threshold=float(low if t < 0 else high),
        p_value=p,
        level=level,
        effect=float(t),
        detail=(
            f"{count:,} events, {expected:,.0f} are usual at this time "
            f"({max(low, 0):,.0f} to {high:,.0f}, {m} earlier days)"
        ),
    )
