"""Volume against the expected rhythm: as many events as at this time of day on the days before.

The logarithm of a count is compared with those of the same time on up to 28 days before. Once three
weeks are known, with those of the same day of the week: their median, and the spread of all days
about the median of their own day of the week (by the median of deviations or the standard
deviation, whichever is larger, at least that of counting). Student's t for one more observation,
Hahn & Meeker (1991), Statistical Intervals, section 4.7.
"""

import numpy as np
from scipy import special

from driftline.monitors.windows.verdict import Verdict
from driftline.profile.binning import Floats, Ints
from driftline.wording import counted

NAME = "volume"
DAYS = 28  # days before that are looked at
FEWEST = 7  # of them, to say anything
_WEEK = 7
_WEEKS = 3  # weeks that show how days of the week differ
_TIMES = 1.5  # from which on a ratio says more than a percentage
_NEVER_BELOW = 0.05  # spread of log counts: no stream keeps its rhythm better
_MEDIAN = np.pi / 2  # variance of a median, in those of a mean


def judge(count: int, past: Floats, ago: Ints, level: float) -> Verdict:
    """Judge how many events a window has.

    Args:
        count: its events.
        past: float64[m], the events of the same time on earlier days.
        ago: int64[m], how many days before.
        level: the false-alarm rate.

    >>> judge(0, np.full(28, 1_000.0), np.arange(1, 29), 1e-4).status
    'alarm'
    >>> judge(0, np.zeros(3), np.arange(1, 4), 1e-4).status
    'not_calibrated'
    """
    if len(past) < FEWEST:
        detail = f"{counted(count, 'event')}; learning, {len(past)} of {FEWEST} earlier days"
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
    weekday = ago % _WEEK
    by_weekday = _WEEKS <= (weekday == 0).sum() < len(logs)
    if not by_weekday:
        weekday = np.zeros_like(weekday)
    days, place, sizes = np.unique(weekday, return_inverse=True, return_counts=True)
    medians = np.array([np.median(logs[weekday == day]) for day in days])
    apart = logs - medians[place]
    free = len(logs) - len(days)
    centre = float(medians[0])
    expected = float(np.expm1(centre))
    spread = max(
        1.4826 * float(np.median(np.abs(apart))) * np.sqrt(len(logs) / free),
        float(np.sqrt(apart @ apart / free)),
        1 / np.sqrt(max(expected, 1.0)),
        _NEVER_BELOW,
    ) * np.sqrt(1 + _MEDIAN / sizes[0])
    t = (np.log1p(count) - centre) / spread
    p = float(2 * special.stdtr(free, -abs(t)))
    margin = -float(special.stdtrit(free, level / 2)) * spread
    low, high = np.expm1(centre - margin), np.expm1(centre + margin)
    usual = "on this day of the week" if by_weekday else "at this time"
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
            f"{_compared(count, expected)}: {counted(count, 'event')}, {expected:,.0f} are usual "
            f"{usual} ({max(low, 0):,.0f} to {high:,.0f}, {len(logs)} earlier days)"
        ),
    )


def _compared(count: int, usual: float) -> str:
    """How the traffic is, against the usual.

    >>> _compared(1_728, 165.0), _compared(40, 100.0)
    ('traffic is 10 times the usual', 'traffic is 40 % of the usual')
    >>> _compared(120, 100.0), _compared(0, 9.0)
    ('traffic is 20 % above the usual', 'no traffic')
    """
    if not count:
        return "no traffic"
    ratio = count / max(usual, 1.0)
    if ratio >= _TIMES:
        return f"traffic is {ratio:.2g} times the usual"
    if ratio <= 1 / _TIMES:
        return f"traffic is {100 * ratio:.2g} % of the usual"
    return f"traffic is {100 * abs(ratio - 1):.2g} % {'above' if ratio > 1 else 'below'} the usual"
