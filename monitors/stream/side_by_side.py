"""Versions that score side by side, window by window: each pair by its own past."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from driftline.monitoring import Monitors
from driftline.storage import verdicts
from driftline.storage.connection import Connection
from monitors.calibration import budget
from monitors.running.fresh import Fresh, row
from monitors.running.schedule import Length
from monitors.stream import version_against_version
from monitors.stream.version_against_version import NAME, WINDOWS
from monitors.verdict import Status, Verdict


def judge(
    connection: Connection,
    model: str,
    settings: Monitors,
    length: Length,
    mine: Sequence[Fresh],
) -> dict[datetime, list[Verdict]]:
    """Judge the pairs of windows that were judged just now, and those of all later windows.

    Args:
        length: of the windows.
        mine: those that were judged just now.

    Returns:
        The verdicts of all of them, by end.
    """
    oldest = min(one.end for one in mine)
    back = timedelta(seconds=length.step * WINDOWS)
    before = verdicts.said(connection, model, length.seconds, NAME, oldest - back)
    stored = {end: [_verdict(one) for one in rows] for end, rows in before.items()}
    pairs_of = stored | {one.end: list(one.pairs) for one in mine}
    level = budget.stream(settings, budget.VERSIONS)
    check = settings.checks.get(NAME)
    said: dict[datetime, list[Verdict]] = {}
    past: dict[tuple[int, int], list[tuple[datetime, float, int]]] = {}
    for end, pairs in sorted(pairs_of.items()):
        judged = pairs
        if end >= oldest:
            judged = said[end] = [
                version_against_version.judge(
                    pair,
                    [(gap, n) for at, gap, n in past.get(_key(pair), ()) if at >= end - back],
                    level / len(pairs),
                    check,
                )
                for pair in pairs
            ]
        for one in judged:
            if one.status != "alarm" and one.value is not None:
                past.setdefault(_key(one), []).append((end, one.value, one.rows))
    for end, judged in said.items():
        rows = [row(one) for one in judged]
        if rows != [one._replace(report_id=None) for one in before.get(end, ())]:
            verdicts.say(connection, model, length.seconds, end, rows, monitor=NAME)
    return said


def _verdict(stored: verdicts.Row) -> Verdict:
    """A pair as it was before it was judged."""
    return Verdict(
        NAME,
        "drift",
        stored.column,
        cast("Status", stored.status),
        stored.rows,
        value=stored.value,
        version=stored.version,
        against=stored.against,
        low=stored.low,
        high=stored.high,
    )


def _key(pair: Verdict) -> tuple[int, int]:
    return pair.version, pair.against
