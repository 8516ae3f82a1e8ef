"""The sequential detector over stored windows, recomputed from the first one that changed."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg

from driftline import names
from driftline.monitors.calibration.judges import Judges
from driftline.monitors.calibration.sequential import NAME, SOURCE
from driftline.monitors.windows.judged_window import JudgedWindow, row
from driftline.monitors.windows.verdict import Verdict, Window
from driftline.storage.connection import Connection
from driftline.storage.monitoring import verdicts
from driftline.storage.monitoring.verdicts import PastVerdict

log = logging.getLogger(__name__)

_LOOK_BACK = 1_000  # windows that a sum adds up, at most


def judge(
    connection: Connection, model: str, judges: Judges, windows: Sequence[JudgedWindow]
) -> dict[tuple[datetime, int], Sequence[Verdict]]:
    """Judge slow drift at windows that were judged just now, and at all later ones.

    Of sliding windows only those that end at whole multiples of their length count: the others
    share rows with them, which would be added twice.

    Returns:
        The verdicts of the windows that were judged just now, by end and seconds.
    """
    seconds = judges.longest
    judged_ends = {
        window.end
        for window in windows
        if window.length.seconds == seconds
        and window.rows
        and not int(window.end.timestamp()) % seconds
    }
    if not judged_ends:
        return {}
    first = min(judged_ends)
    series = verdicts.past_verdicts(
        connection,
        model,
        seconds,
        SOURCE,
        since=first - timedelta(seconds=_LOOK_BACK * seconds),
        until=datetime.max.replace(tzinfo=UTC),
        every=seconds,
    )
    columns = {
        name: [verdict for verdict in past if _is_current(verdict, judges.created_at)]
        for (name, segment), past in series.items()
        if segment == names.ALL_ROWS
    }
    ends = sorted({past.end for column in columns.values() for past in column if past.end >= first})
    stored = verdicts.last_values(connection, model, seconds, NAME, ends)
    judged: dict[tuple[datetime, int], Sequence[Verdict]] = {}
    for end in ends:
        new = _isolated(connection, judges, Window(seconds, end), columns)
        if end in judged_ends:
            judged[end, seconds] = new
        if {v.column: (v.status, v.rows, v.detail) for v in new} != stored.get(end, {}):
            rows = [row(verdict) for verdict in new]
            verdicts.write_monitor(connection, model, seconds, end, rows, monitor=NAME)
    return judged


def _is_current(past: PastVerdict, stamps: Mapping[int, datetime]) -> bool:
    """Whether an effect was measured against the current reference of its version."""
    since = stamps.get(past.version)
    return since is None or past.judged_at is None or past.judged_at >= since


def _isolated(
    connection: Connection, judges: Judges, window: Window, columns: dict[str, list[PastVerdict]]
) -> list[Verdict]:
    """A failure is shown as broken and does not stop other monitors."""
    try:
        return _judge_window(connection, judges, window, columns)
    except psycopg.Error:
        raise
    except Exception as error:
        log.exception("judging slow drift at %s failed", window.end)
        detail = f"{type(error).__name__}: {error}"
        return [Verdict(NAME, "drift", "", "broken", 0, detail=detail)]


def _judge_window(
    connection: Connection, judges: Judges, window: Window, columns: dict[str, list[PastVerdict]]
) -> list[Verdict]:
    """The verdicts at one window, over the earlier ones of the same version."""
    versions = [
        past.version for column in columns.values() for past in column if past.end == window.end
    ]
    if not versions:
        return []
    version = max(versions)
    oldest = window.end - timedelta(seconds=_LOOK_BACK * window.seconds)
    sequential = judges.sequential(connection, version)
    effects = {
        name: np.array(
            [
                np.nan if past.effect is None else past.effect
                for past in column
                if past.version == version and oldest < past.end <= window.end
            ]
        )
        for name, column in columns.items()
    }
    return sequential.judge(window, effects)
