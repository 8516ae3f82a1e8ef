"""What an incident is made of: the looks that alarmed, ranked.

The smallest q-value comes first: the share of false ones among a window's looks that are at least
as unusual (Benjamini and Hochberg 1995). Those that tie are ranked by their effect. It only ranks:
what alarms is decided by the budget.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from scipy.stats import false_discovery_control

from driftline import names
from driftline.config.monitors import PIPELINE
from driftline.monitors.windows.verdict import Verdict
from driftline.storage.monitoring.verdicts import Row

_SHOWN = 3

Contributor = dict[str, Any]


def of(verdicts: Iterable[Verdict], seconds: int) -> list[Contributor]:
    """The alarms among the verdicts of one family in one window."""
    looks = [one for one in verdicts if one.alerts]
    if not any(one.status == "alarm" for one in looks):
        return []
    return [
        _contributor(one, seconds, one.detail, q)
        for one, q in zip(looks, _q_values(looks), strict=True)
        if one.status == "alarm"
    ]


def failed(verdicts: Iterable[Verdict], seconds: int) -> list[Contributor]:
    """The looks of any family that are broken in one window: nobody watches there."""
    return [
        _contributor(one, seconds, f"{one.monitor} failed: {one.detail}", None)
        for one in verdicts
        if one.status == "broken"
    ]


def unseen(ranked: Sequence[Contributor], family: str, seconds: int, said: Sequence[Row]) -> bool:
    """Whether something of an incident could not be looked at in one window.

    Its look is broken, or it has none because a whole is broken that it comes from: a segment, the
    rows of the window, one of Evidently's metrics. What else is broken has nothing to do with it.

    Parameters:
        family: of the incident.
        seconds: length of the window.
        said: all verdicts of the window.
    """
    judged = {(row.column, row.monitor, row.segment) for row in said}
    faults = [row for row in said if row.status == "broken"]
    broken = {(row.column, row.monitor, row.segment) for row in faults}
    wholes = {row.segment for row in faults if not row.column and row.family in (family, PIPELINE)}
    own = (_look(one)[:3] for one in ranked if one["window_seconds"] == seconds)
    return any(
        look in broken or (look not in judged and not wholes.isdisjoint((names.ALL_ROWS, look[2])))
        for look in own
    )


def merge(before: Sequence[Contributor], newer: Sequence[Contributor]) -> list[Contributor]:
    """Both, each look once with its newest numbers, ranked."""
    looks = {_look(one): one for one in (*before, *newer)}
    return sorted(looks.values(), key=_rank)


def columns(ranked: Sequence[Contributor]) -> list[str]:
    """The columns that alarm, the strongest first; monitors of the whole stream by their name."""
    return list(dict.fromkeys(map(name, ranked)))


def name(one: Contributor) -> str:
    """Its column; of a monitor of the whole stream its own name."""
    return str(one["column"] or one["monitor"])


def subjects(family: str, ranked: Sequence[Contributor]) -> list[str]:
    """What an incident of a family is of; of the volume nothing more can be named."""
    return columns([one for one in ranked if one["column"] or one["monitor"] != family])


def joined(before: Sequence[Contributor], ranked: Sequence[Contributor]) -> list[str]:
    """The columns that alarm and did not before."""
    known = columns(before)
    return [one for one in columns(ranked) if one not in known]


def summary(family: str, ranked: Sequence[Contributor]) -> str:
    """One line: what changed."""
    named = subjects(family, ranked)
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    of = f" of {', '.join(named[:_SHOWN])}{more}" if named else ""
    return f"{family}{of}: {ranked[0]['detail'] if ranked else ''}"


def _contributor(one: Verdict, seconds: int, detail: str, q: float | None) -> Contributor:
    return {
        "column": one.column,
        "monitor": one.monitor,
        "segment": one.segment,
        "window_seconds": seconds,
        "version": one.version,
        "value": one.value,
        "expected": one.expected,
        "p_value": one.p_value,
        "q_value": q,
        "level": one.level,
        "effect": one.effect,
        "provisional": one.provisional,
        "detail": detail,
    }


def _q_values(looks: Sequence[Verdict]) -> list[float | None]:
    """None for looks without a p-value, such as fixed thresholds."""
    tested = [place for place, one in enumerate(looks) if one.p_value is not None]
    found: list[float | None] = [None] * len(looks)
    if tested:
        adjusted = false_discovery_control([looks[place].p_value for place in tested])
        for place, q in zip(tested, adjusted.tolist(), strict=True):
            found[place] = q
    return found


def _rank(one: Contributor) -> tuple[float, float, tuple[str, str, str, int]]:
    q = one.get("q_value")
    return 1.0 if q is None else q, -abs(one["effect"] or 0.0), _look(one)


def _look(one: Contributor) -> tuple[str, str, str, int]:
    return one["column"], one["monitor"], one["segment"], one["window_seconds"]
