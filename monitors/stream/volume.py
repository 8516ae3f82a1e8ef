"""Volume against its seasonality: the number of events at the same time on earlier days.

The logarithm of a count is compared with those at the same time on up to 28 days before. Once three
weeks are available, with those on the same day of the week: their median, and the spread of all
days about the median of their own day of the week (by the median of deviations or the standard
deviation, whichever is larger, at least that of counting). Student's t for one more observation,
Hahn & Meeker (1991), Statistical Intervals, section 4.7.
"""

import numpy as np
from scipy import special

from driftline.monitors.windows.verdict import Verdict
from driftline.profile.binning import Floats, Ints
from driftline.wording import counted

NAME = "volume"
DAYS = 28  # earlier days that are compared with, at most
FEWEST = 7  # of them, at least
_WEEK = 7
_WEEKS = 3  # that are needed to learn how the days of the week differ
_MIN_RATIO = 1.5  # from here on, a ratio is easier to read than a percentage
_MIN_SPREAD = 0.05  # of log counts: no stream is more regular
_MEDIAN_VARIANCE = np.pi / 2  # of a median, relative to a mean


def judge(count: int, past: Floats, ago: Ints, level: float) -> Verdict:
    """Judge the number of events of a window.

    Parameters:
        count: its events.
        past: float64[m], the events at the same time on earlier days.
        ago: int64[m], how many days earlier.
        level: significance level.

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
    residuals = logs - medians[place]
    degrees = len(logs) - len(days)
    centre = float(medians[0])
    expected = float(np.expm1(centre))
    spread = max(
        1.4826 * float(np.median(np.abs(residuals))) * np.sqrt(len(logs) / degrees),
        float(np.sqrt(residuals @ residuals / degrees)),
        1 / np.sqrt(max(expected, 1.0)),
        _MIN_SPREAD,
    ) * np.sqrt(1 + _MEDIAN_VARIANCE / sizes[0])
    t = (np.log1p(count) - centre) / spread
    p = float(2 * special.stdtr(degrees, -abs(t)))
    margin = -float(special.stdtrit(degrees, level / 2)) * spread
    low, high = np.expm1(centre - margin), np.expm1(centre + margin)
    when = "at this time on this day of the week" if by_weekday else "at this time of day"
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
            f"{_change(count, expected)}: {counted(count, 'event')}, {expected:,.0f} expected "
            f"{when} (range {max(low, 0):,.0f} to {high:,.0f}, from {len(logs)} earlier days)"
        ),
    )


def _change(count: int, expected: float) -> str:
    """The traffic relative to what is expected.

    >>> _change(1_728, 165.0), _change(40, 100.0)
    ('traffic is 10 times the expected level', 'traffic is 40 % of the expected level')
    >>> _change(120, 100.0), _change(0, 9.0)
    ('traffic is 20 % above the expected level', 'no traffic')
    """
    if not count:
        return "no traffic"
    ratio = count / max(expected, 1.0)
    if ratio >= _MIN_RATIO:
        return f"traffic is {ratio:.2g} times the expected level"
    if ratio <= 1 / _MIN_RATIO:
        return f"traffic is {100 * ratio:.2g} % of the expected level"
    direction = "above" if ratio > 1 else "below"
    return f"traffic is {100 * abs(ratio - 1):.2g} % {direction} the expected level"
