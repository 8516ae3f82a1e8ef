"""The volume of windows, and of later ones that are compared with them: judged in any order, the
verdicts are the same."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from driftline.monitoring import Monitors
from driftline.storage import judged, verdicts
from driftline.storage.connection import Connection
from monitors.calibration import budget
from monitors.running import schedule
from monitors.running.fresh import Fresh, row
from monitors.running.schedule import Length
from monitors.stream import volume
from monitors.verdict import Verdict

_DAY = timedelta(days=1)


def judge(
    connection: Connection,
    model: str,
    settings: Monitors,
    length: Length,
    mine: Sequence[Fresh],
) -> dict[datetime, list[Verdict]]:
    """Judge the volume of windows that were judged just now, and of those that look back at them.

    Args:
        length: of the windows.
        mine: those that were judged just now.

    Returns:
        The verdicts of all of them, by end.
    """
    fresh = {one.end for one in mine}
    back = max(_DAY, timedelta(seconds=-(-length.seconds // 86_400) * 86_400))
    later = {end + i * back for end in fresh for i in range(1, volume.DAYS + 1)}
    looking = sorted(fresh | judged.among(connection, model, length.seconds, sorted(later)).keys())
    wanted = {past for end in looking for past in schedule.before(end, back, volume.DAYS)}
    rows = {
        end: one.rows
        for end, one in judged.among(
            connection, model, length.seconds, sorted(wanted | set(looking))
        ).items()
    }
    said = {}
    level = budget.stream(settings, budget.VOLUME)
    for end in looking:
        days = [one for one in schedule.before(end, back, volume.DAYS) if one in rows]
        past = np.array([rows[one] for one in days], dtype=np.float64)
        ago = np.array([(end - one).days for one in days], dtype=np.int64)
        said[end] = volume.judge(rows[end], past, ago, level)
    _store(connection, model, length, said)
    return {end: [verdict] for end, verdict in said.items()}


def _store(
    connection: Connection, model: str, length: Length, said: dict[datetime, Verdict]
) -> None:
    before = verdicts.details(connection, model, length.seconds, volume.NAME, list(said))
    for end, verdict in said.items():
        if before.get(end) != verdict.detail:
            verdicts.say(
                connection, model, length.seconds, end, [row(verdict)], monitor=volume.NAME
            )
