"""Levels of a stream that people accepted as normal."""

from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import NamedTuple

from driftline.storage.connection import Connection


class AcceptedLevel(NamedTuple):
    """A level that a person accepted.

    Attributes:
        since: start of the first window at this level.
        until: windows that end later are compared with this level; earlier ones were judged
            before it was accepted.
    """

    since: datetime
    until: datetime


def levels(connection: Connection, model: str, family: str) -> list[AcceptedLevel]:
    """The accepted levels of a family, oldest first."""
    rows = connection.execute(
        """SELECT since, until FROM driftline.accepted_level
            WHERE model = %s AND family = %s ORDER BY id""",
        [model, family],
    ).fetchall()
    return [AcceptedLevel(*row) for row in rows]


def latest_before(levels: Sequence[AcceptedLevel], end: datetime) -> AcceptedLevel | None:
    """The latest level accepted before a window ended; None if there is none."""
    return max(
        (level for level in levels if level.until < end), key=attrgetter("until"), default=None
    )


def accept(connection: Connection, incident: int, by: str, reason: str) -> None:
    """Accept the level that an incident reports as normal, since the incident's first window."""
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
