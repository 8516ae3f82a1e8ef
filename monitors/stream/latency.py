"""Latency against its objective, by burn rate over two windows (SRE workbook, chapter 5).

An objective allows a share of slow predictions. The burn rate is the observed share divided by the
allowed one. An alarm needs a high burn rate over the long window (it matters) and over the short
one (it is still happening), and more slow predictions than chance explains.
"""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from driftline import names
from driftline.config.monitors import Latency, Objective
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict
from driftline.profile.binning import LogBins
from driftline.profile.profile import ColumnProfile, Profile
from driftline.storage.profiles.windows import Part

NAME = "latency"
_MAX_P_VALUE = 1e-3  # of the number of slow predictions, if the objective is just met


def judge_all(
    settings: Latency, length: Length, parts: Mapping[Part, Profile], long: Mapping[Part, Profile]
) -> list[Verdict]:
    """Judge each latency of a window, over all versions, by its objective where it has one.

    Parameters:
        length: of the window.
        parts, long: of the window, and of the objective's long window.
    """
    judged: list[Verdict] = []
    for column, objective in (
        (names.INFERENCE_MS, settings.inference),
        (names.LAG_MS, settings.end_to_end),
    ):
        short_total, long_total = total(parts, column), total(long, column)
        if short_total is None or long_total is None:
            continue
        if objective is None:
            judged += [shown(short_total)] if length.columns else []
        elif int(objective.short_window.total_seconds()) == length.seconds:
            judged.append(judge(objective, short_total, long_total))
    return judged


def judge(objective: Objective, short: ColumnProfile, long: ColumnProfile) -> Verdict:
    """Judge one latency, in milliseconds, against its objective.

    Parameters:
        short, long: the column in the two windows, which end together.

    Returns:
        A verdict whose value is the smaller of the two burn rates.
    """
    limit = objective.limit.total_seconds() * 1_000
    (slow, n), (slow_long, n_long) = (_slow(column, limit) for column in (short, long))
    if n == 0 or n_long == 0:
        return Verdict(NAME, "latency", short.bins.name, "no_data", n)
    allowed = 1 - objective.target
    burn = min(slow / n, slow_long / n_long) / allowed
    p = float(stats.binom.sf(slow_long - 1, n_long, allowed)) if slow_long else 1.0
    alarm = burn >= objective.burn_rate and p <= _MAX_P_VALUE
    return Verdict(
        NAME,
        "latency",
        short.bins.name,
        "alarm" if alarm else "ok",
        n,
        value=burn,
        expected=1.0,
        threshold=objective.burn_rate,
        p_value=p,
        effect=burn / objective.burn_rate * (3.0 if alarm else 1.0),
        detail=(
            f"{slow:,} of {n:,} predictions took longer than {limit:,.6g} ms ({slow / n:.2%}; "
            f"{allowed:.2%} allowed): burn rate {slow / n / allowed:.1f} over "
            f"{objective.short_window}, "
            f"{slow_long / n_long / allowed:.1f} over {objective.long_window}"
        ),
    )


def shown(column: ColumnProfile) -> Verdict:
    """The 99th percentile, for a latency without an objective; never an alarm."""
    n = int(column.values.sum())
    if n == 0:
        return Verdict(NAME, "latency", column.bins.name, "no_data", 0, alerts=False)
    p50, p99 = column.quantile(0.5), column.quantile(0.99)
    detail = f"p50 {p50:.4g} ms, p99 {p99:.4g} ms; no objective configured"
    name = column.bins.name
    return Verdict(NAME, "latency", name, "shown", n, alerts=False, value=p99, detail=detail)


def total(parts: Mapping[Part, Profile], column: str) -> ColumnProfile | None:
    """A latency over all versions that served; None when there are no rows.

    The bins of latencies are the same for every version.
    """
    columns = [
        profile.column(column)
        for part, profile in _first_binning(parts).items()
        if part.role == names.SERVED and part.segment == names.ALL_ROWS
    ]
    if not columns:
        return None
    counts = np.sum([latencies.counts for latencies in columns], axis=0)
    return ColumnProfile(columns[0].bins, counts, np.zeros(0))


def _first_binning(parts: Mapping[Part, Profile]) -> dict[Part, Profile]:
    """A version that was counted in two binnings counts once."""
    unique = {(p.version, p.role, p.segment): p for p in reversed(list(parts))}
    return {part: parts[part] for part in unique.values()}


def _slow(column: ColumnProfile, limit: float) -> tuple[int, int]:
    """How many took longer, and how many there are; the bin of the limit counts as not longer."""
    assert isinstance(column.bins, LogBins)
    values = column.values
    first = int(np.searchsorted(np.array(column.bins.edges), limit, side="left"))
    return int(values[first + 1 :].sum()), int(values.sum())
