"""When messages of a model arrived last, and what became of the newest: by the ledger's clock."""

from datetime import datetime
from typing import NamedTuple

from driftline.storage.connection import Connection

# Ledger rows of one partition that are looked at, at most: newest first, by the index on offsets.
_ROWS = 5_000


class Arrived(NamedTuple):
    """What was committed since some time."""

    messages: int
    rejected: int


def last(connection: Connection, model: str) -> datetime | None:
    """When the job committed anything of the events topic last; None when it never did."""
    row = connection.execute(
        """SELECT max(newest.committed_at) FROM driftline.source AS s, LATERAL (
             SELECT committed_at FROM driftline.ledger
              WHERE ledger.source = s.id ORDER BY last_offset DESC LIMIT 1) AS newest
            WHERE s.model = %s AND s.stream = 'events'""",
        [model],
    ).fetchone()
    return None if row is None else row[0]


def since(connection: Connection, model: str, first: datetime, until: datetime) -> Arrived:
    """What was committed of the events topic in [first, until)."""
    row = connection.execute(
        """SELECT coalesce(sum(logged + duplicate + rejected + filtered), 0)::bigint,
                  coalesce(sum(rejected), 0)::bigint
             FROM driftline.source AS s, LATERAL (
               SELECT * FROM driftline.ledger
                WHERE ledger.source = s.id ORDER BY last_offset DESC LIMIT %(rows)s) AS newest
            WHERE s.model = %(model)s AND s.stream = 'events'
              AND committed_at >= %(first)s AND committed_at < %(until)s""",
        {"rows": _ROWS, "model": model, "first": first, "until": until},
    ).fetchone()
    assert row is not None
    return Arrived(*row)
