"""Levels of a stream that people have accepted as usual."""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from driftline.storage.connection import Connection


class Level(NamedTuple):
    """A level that a person has accepted.

    Attributes:
        since: the start of the first window that has it.
        until: windows that end here or before were judged before; later ones are compared with
            the new level.
    """

    since: datetime
    until: datetime


def levels(connection: Connection, model: str, family: str) -> list[Level]:
    """What was accepted of a family, the oldest first."""
    rows = connection.execute(
        """SELECT since, until FROM driftline.accepted_level
            WHERE model = %s AND family = %s ORDER BY id""",
        [model, family],
    ).fetchall()
    return [Level(*row) for row in rows]


def before(levels: Sequence[Level], end: datetime) -> Level | None:
    """The newest level that a window is compared with; None where people accepted none."""
    return max((one for one in levels if one.until < end), key=attrgetter("until"), default=None)


def accept(connection: Connection, incident: int, by: str, reason: str) -> None:
    """What an incident of a level says is usual, since its first window."""
    connection.execute(
        """INSERT INTO driftline.accepted_level
             (model, family, since, until, incident_id, accepted_by, reason)
           SELECT i.model, i.family, i.since,
                  greatest(i.last, (SELECT max(window_end) FROM driftline.judged_window AS j
                                     WHERE j.model = i.model)),
                  i.id, %s, %s
             FROM driftline.incident AS i WHERE i.id = %s""",
        (by, reason, incident),
    )
