"""Latency against its objective, by burn rate over two windows (SRE workbook, chapter 5).

An objective allows a share of slow predictions. The burn rate is the share that was slow, in times
of what is allowed. An alarm needs a high one over the long window (it matters) and over the short
one (it still goes on), and more slow predictions than chance would give.
"""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from driftline import names
from driftline.config.monitors import Objective
from driftline.monitors.windows.verdict import Verdict
from driftline.profile.binning import LogBins
from driftline.profile.profile import ColumnProfile, Profile
from driftline.storage.profiles.windows import Part

NAME = "latency"
_CHANCE = 1e-3  # of so many slow ones, when the objective is just met


def judge(objective: Objective, short: ColumnProfile, long: ColumnProfile) -> Verdict:
    """Judge one latency, in milliseconds, against its objective.

    Args:
        short, long: the column in the two windows that end together.

    Returns:
        A verdict whose value is the smaller of the two burn rates.
    """
    limit = objective.limit.total_seconds() * 1_000
    (slow, n), (slow_long, n_long) = (_slow(column, limit) for column in (short, long))
    empty = Verdict(NAME, "latency", short.bins.name, "no_data", n)
    if n == 0 or n_long == 0:
        return empty
    allowed = 1 - objective.target
    burn = min(slow / n, slow_long / n_long) / allowed
    chance = float(stats.binom.sf(slow_long - 1, n_long, allowed)) if slow_long else 1.0
    alarm = burn >= objective.burn and chance <= _CHANCE
    return Verdict(
        NAME,
        "latency",
        short.bins.name,
        "alarm" if alarm else "ok",
        n,
        value=burn,
        expected=1.0,
        threshold=objective.burn,
        p_value=chance,
        effect=burn / objective.burn * (3.0 if alarm else 1.0),
        detail=(
            f"{slow:,} of {n:,} took longer than {limit:,.6g} ms ({slow / n:.2%}, {allowed:.2%} "
            f"are allowed): burn rate {slow / n / allowed:.1f} over {objective.short}, "
            f"{slow_long / n_long / allowed:.1f} over {objective.long}"
        ),
    )


def shown(column: ColumnProfile) -> Verdict:
    """Without an objective: the 99th percentile, which never alarms."""
    n = int(column.values.sum())
    if n == 0:
        return Verdict(NAME, "latency", column.bins.name, "no_data", 0, alerts=False)
    p50, p99 = column.quantile(0.5), column.quantile(0.99)
    detail = f"p50 {p50:.4g} ms, p99 {p99:.4g} ms; no objective is set"
    name = column.bins.name
    return Verdict(NAME, "latency", name, "shown", n, alerts=False, value=p99, detail=detail)


def total(parts: Mapping[Part, Profile], column: str) -> ColumnProfile | None:
    """A latency over all versions that served; None when there are no rows.

    The bins of latencies are the same for every version.
    """
    each = [
        profile.column(column)
        for part, profile in _first_binning(parts).items()
        if part.role == names.SERVED and part.segment == names.ALL_ROWS
    ]
    if not each:
        return None
    counts = np.sum([one.counts for one in each], axis=0)
    return ColumnProfile(each[0].bins, counts, np.zeros(0))


def _first_binning(parts: Mapping[Part, Profile]) -> dict[Part, Profile]:
    """A version that is counted in two binnings counts once."""
    unique = {(p.version, p.role, p.segment): p for p in reversed(list(parts))}
    return {part: parts[part] for part in unique.values()}


def _slow(column: ColumnProfile, limit: float) -> tuple[int, int]:
    """How many took longer, of how many; a bin that holds the limit counts as not longer."""
    assert isinstance(column.bins, LogBins)
    values = column.values
    first = int(np.searchsorted(np.array(column.bins.edges), limit, side="left"))
    return int(values[first + 1 :].sum()), int(values.sum())
