"""Versions that score side by side, window by window: each pair by its own past."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

from driftline.config.monitors import Monitors
from driftline.monitors.calibration import budget
from driftline.monitors.stream import version_against_version
from driftline.monitors.stream.usual import Earlier, Lookback
from driftline.monitors.stream.version_against_version import NAME, WINDOWS
from driftline.monitors.windows.judged_window import Fresh, row
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Status, Verdict
from driftline.storage.connection import Connection
from driftline.storage.monitoring import accepted_levels, verdicts


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
    lookback = Lookback(
        timedelta(seconds=length.seconds),
        timedelta(seconds=length.step * WINDOWS),
        settings.accept_after,
        accepted_levels.levels(connection, model, "drift"),
    )
    before = verdicts.said(connection, model, length.seconds, NAME, oldest - lookback.total)
    stored = {end: [_verdict(one) for one in rows] for end, rows in before.items()}
    pairs_of = stored | {one.end: list(one.pairs) for one in mine}
    level = budget.stream(settings, budget.VERSIONS)
    check = settings.checks.get(NAME)
    said: dict[datetime, list[Verdict]] = {}
    past: dict[tuple[int, int], list[Earlier]] = {}

    def known(pair: Verdict, end: datetime) -> list[tuple[float, int]]:
        usual = lookback.usual(past.get(_key(pair), ()), end)
        return [(one.value, one.rows) for one in usual][-WINDOWS:]

    for end, pairs in sorted(pairs_of.items()):
        judged = pairs
        if end >= oldest:
            judged = said[end] = [
                version_against_version.judge(pair, known(pair, end), level / len(pairs), check)
                for pair in pairs
            ]
        for one in judged:
            if one.value is not None:
                earlier = Earlier(end, one.value, one.rows, one.status, one.threshold)
                past.setdefault(_key(one), []).append(earlier)
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
        threshold=stored.threshold,
        low=stored.low,
        high=stored.high,
    )


def _key(pair: Verdict) -> tuple[int, int]:
    return pair.version, pair.against
