"""What an incident is made of: the looks that alarmed, the largest effect first."""

from collections.abc import Iterable, Sequence
from typing import Any

from monitors.verdict import Verdict

_SHOWN = 3

Contributor = dict[str, Any]


def of(verdicts: Iterable[Verdict], seconds: int) -> list[Contributor]:
    """The alarms among the verdicts of one window."""
    return [
        {
            "column": one.column,
            "monitor": one.monitor,
            "segment": one.segment,
            "window_seconds": seconds,
            "version": one.version,
            "value": one.value,
            "expected": one.expected,
            "p_value": one.p_value,
            "level": one.level,
            "effect": one.effect,
            "provisional": one.provisional,
            "detail": one.detail,
        }
        for one in verdicts
        if one.status == "alarm" and one.alerts
    ]


def merge(before: Sequence[Contributor], newer: Sequence[Contributor]) -> list[Contributor]:
    """Both, each look once with its newest numbers, ranked."""
    looks = {_look(one): one for one in (*before, *newer)}
    return sorted(looks.values(), key=lambda one: (-abs(one["effect"] or 0.0), _look(one)))


def columns(ranked: Sequence[Contributor]) -> list[str]:
    """The columns that alarm, the strongest first; monitors of the whole stream by their name."""
    return list(dict.fromkeys(one["column"] or one["monitor"] for one in ranked))


def summary(family: str, ranked: Sequence[Contributor]) -> str:
    """One line: what changed."""
    # of the volume nothing more can be named
    named = columns([one for one in ranked if one["column"] or one["monitor"] != family])
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    of = f" of {', '.join(named[:_SHOWN])}{more}" if named else ""
    return f"{family}{of}: {ranked[0]['detail'] if ranked else ''}"


def _look(one: Contributor) -> tuple[str, str, str, int]:
    return one["column"], one["monitor"], one["segment"], one["window_seconds"]
