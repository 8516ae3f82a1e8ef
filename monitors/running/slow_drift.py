"""The sequential detector over stored windows: folded anew from the first one that changed."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg

from driftline import names
from driftline.monitors.calibration.judges import Judges
from driftline.monitors.calibration.sequential import NAME, SOURCE
from driftline.monitors.windows.judged_window import Fresh, row
from driftline.monitors.windows.verdict import Verdict, Window
from driftline.storage.connection import Connection
from driftline.storage.monitoring import verdicts
from driftline.storage.monitoring.verdicts import Past

log = logging.getLogger(__name__)

_LOOK_BACK = 1_000  # windows that a sum is folded over, at most


def judge(
    connection: Connection, model: str, judges: Judges, fresh: Sequence[Fresh]
) -> dict[tuple[datetime, int], Sequence[Verdict]]:
    """Judge slow drift at windows that were judged just now, and at all later ones.

    Of sliding windows only those that end at whole multiples of their length count: the others have
    rows in common with them, which would be added up again.

    Returns:
        The verdicts of the windows that were judged just now, by end and seconds.
    """
    seconds = judges.longest
    mine = {
        one.end
        for one in fresh
        if one.length.seconds == seconds and one.rows and not int(one.end.timestamp()) % seconds
    }
    if not mine:
        return {}
    series = verdicts.past(
        connection,
        model,
        seconds,
        SOURCE,
        since=min(mine) - timedelta(seconds=_LOOK_BACK * seconds),
        until=datetime.max.replace(tzinfo=UTC),
        every=seconds,
    )
    columns = {
        name: [one for one in past if _holds(one, judges.stamps)]
        for (name, segment), past in series.items()
        if segment == names.ALL_ROWS
    }
    ends = sorted({one.end for past in columns.values() for one in past if one.end >= min(mine)})
    before = verdicts.last_values(connection, model, seconds, NAME, ends)
    found: dict[tuple[datetime, int], Sequence[Verdict]] = {}
    for end in ends:
        said = _isolated(connection, judges, Window(seconds, end), columns)
        if end in mine:
            found[end, seconds] = said
        if {one.column: (one.status, one.rows, one.detail) for one in said} != before.get(end, {}):
            verdicts.say(connection, model, seconds, end, [row(v) for v in said], monitor=NAME)
    return found


def _holds(one: Past, stamps: Mapping[int, datetime]) -> bool:
    """Whether an effect was measured against the reference that its version has now."""
    since = stamps.get(one.version)
    return since is None or one.judged_at is None or one.judged_at >= since


def _isolated(
    connection: Connection, judges: Judges, window: Window, columns: dict[str, list[Past]]
) -> list[Verdict]:
    """A fold that fails is shown as broken and stops nothing else."""
    try:
        return _at(connection, judges, window, columns)
    except psycopg.Error:
        raise
    except Exception as error:
        log.exception("slow drift can't be judged at %s", window.end)
        detail = f"{type(error).__name__}: {error}"
        return [Verdict(NAME, "drift", "", "broken", 0, detail=detail)]


def _at(
    connection: Connection, judges: Judges, window: Window, columns: dict[str, list[Past]]
) -> list[Verdict]:
    """The verdicts at one window: over those of the version that it was judged for."""
    versions = [one.version for past in columns.values() for one in past if one.end == window.end]
    if not versions:
        return []
    version = max(versions)
    oldest = window.end - timedelta(seconds=_LOOK_BACK * window.seconds)
    sequential = judges.sequential(connection, version)
    effects = {
        name: np.array(
            [
                np.nan if one.effect is None else one.effect
                for one in past
                if one.version == version and oldest < one.end <= window.end
            ]
        )
        for name, past in columns.items()
    }
    return sequential.judge(window, effects)
