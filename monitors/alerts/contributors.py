"""The contributors of an incident: the tests that alarmed, ranked.

The smallest q-value comes first: the expected share of false alarms among the tests of a window
that are at least as unusual (Benjamini and Hochberg 1995). Equal q-values are ranked by effect.
The ranking does not decide what alarms: the budget does.
"""

from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from scipy.stats import false_discovery_control

from driftline import names
from driftline.config.monitors import PIPELINE
from driftline.monitors.windows.verdict import Verdict
from driftline.storage.monitoring.verdicts import Row

_SHOWN = 3

Contributor = dict[str, Any]

_test = itemgetter("column", "monitor", "segment", "window_seconds")  # what identifies the test


def alarmed(verdicts: Iterable[Verdict], seconds: int) -> list[Contributor]:
    """The alarms among the verdicts of one family in one window."""
    tests = [verdict for verdict in verdicts if verdict.alerts]
    if not any(test.status == "alarm" for test in tests):
        return []
    return [
        _contributor(test, seconds, test.detail, q)
        for test, q in zip(tests, _q_values(tests), strict=True)
        if test.status == "alarm"
    ]


def failed(verdicts: Iterable[Verdict], seconds: int) -> list[Contributor]:
    """The tests of any family that failed in one window: what they monitor is not monitored."""
    return [
        _contributor(verdict, seconds, f"{verdict.monitor} failed: {verdict.detail}", None)
        for verdict in verdicts
        if verdict.status == "broken"
    ]


def untested(ranked: Sequence[Contributor], family: str, seconds: int, rows: Sequence[Row]) -> bool:
    """Whether a contributor of an incident could not be tested in one window.

    Its test is broken, or missing because something that it depends on is broken: the segment, the
    rows of the window, or one of Evidently's metrics. Other broken tests do not matter.

    Parameters:
        family: of the incident.
        seconds: length of the window.
        rows: all verdicts of the window.
    """
    tested = {(row.column, row.monitor, row.segment) for row in rows}
    faults = [row for row in rows if row.status == "broken"]
    broken = {(row.column, row.monitor, row.segment) for row in faults}
    # a fault without a column concerns its whole segment
    segments = {
        row.segment for row in faults if not row.column and row.family in (family, PIPELINE)
    }
    same_length = (
        contributor for contributor in ranked if contributor["window_seconds"] == seconds
    )
    tests = [_test(contributor)[:3] for contributor in same_length]
    tests = [_test(item)[:3] for item in ranked if item["window_seconds"] == seconds]
    missing = (test for test in tests if test not in tested)
    return not broken.isdisjoint(tests) or any(
        not segments.isdisjoint((names.ALL_ROWS, segment)) for _, _, segment in missing
    )


def merge(older: Sequence[Contributor], newer: Sequence[Contributor]) -> list[Contributor]:
    """Both, each test once with its newest numbers, ranked."""
    tests = {_test(contributor): contributor for contributor in (*older, *newer)}
    return sorted(tests.values(), key=_rank)


def columns(ranked: Sequence[Contributor]) -> list[str]:
    """The columns that alarm, the strongest first; monitors of the whole stream by their name."""
    return list(dict.fromkeys(map(name, ranked)))


def name(contributor: Contributor) -> str:
    """Its column, or the name of its monitor if that monitors the whole stream."""
    return str(contributor["column"] or contributor["monitor"])


def subjects(family: str, ranked: Sequence[Contributor]) -> list[str]:
    """The columns that a title names; of driftline's own failures also the monitors."""
    return columns(
        [contributor for contributor in ranked if contributor["column"] or family == PIPELINE]
    )


def joined(older: Sequence[Contributor], ranked: Sequence[Contributor]) -> list[str]:
    """The columns that alarm and did not before."""
    previous = columns(older)
    return [column for column in columns(ranked) if column not in previous]


def heading(family: str, subjects: Sequence[str]) -> str:
    """A family and the columns or monitors that it concerns.

    >>> heading("drift", ["amount", "country"]), heading("volume", [])
    ('drift in amount, country', 'volume')
    """
    more = f" and {len(subjects) - _SHOWN} more" if len(subjects) > _SHOWN else ""
    subject = "pipeline failure" if family == PIPELINE else family
    return f"{subject} in {', '.join(subjects[:_SHOWN])}{more}" if subjects else subject


def summary(family: str, ranked: Sequence[Contributor]) -> str:
    """One line: what changed."""
    return f"{heading(family, subjects(family, ranked))}: {ranked[0]['detail'] if ranked else ''}"


def _contributor(verdict: Verdict, seconds: int, detail: str, q: float | None) -> Contributor:
    return {
        "column": verdict.column,
        "monitor": verdict.monitor,
        "segment": verdict.segment,
        "window_seconds": seconds,
        "version": verdict.version,
        "value": verdict.value,
        "expected": verdict.expected,
        "p_value": verdict.p_value,
        "q_value": q,
        "level": verdict.level,
        "effect": verdict.effect,
        "provisional": verdict.provisional,
        "detail": detail,
    }


def _q_values(tests: Sequence[Verdict]) -> list[float | None]:
    """None for tests without a p-value, such as fixed thresholds."""
    places = [place for place, test in enumerate(tests) if test.p_value is not None]
    q_values: list[float | None] = [None] * len(tests)
    if places:
        adjusted = false_discovery_control([tests[place].p_value for place in places])
        for place, q in zip(places, adjusted.tolist(), strict=True):
            q_values[place] = q
    return q_values


def _rank(contributor: Contributor) -> tuple[float, float, tuple[str, str, str, int]]:
    q = contributor.get("q_value")
    return 1.0 if q is None else q, -abs(contributor["effect"] or 0.0), _test(contributor)
