"""When messages of a model last arrived, and the outcomes of the newest, by the ledger's clock."""

from datetime import datetime
from typing import NamedTuple

from driftline.storage.connection import Connection

# Most ledger rows read per partition: newest first, by the index on offsets.
_MAX_ROWS = 5_000


class Arrived(NamedTuple):
    """Messages committed in a span of time."""

    messages: int
    rejected: int


def last(connection: Connection, model: str) -> datetime | None:
    """When the job last committed messages of the events topic; None if it never did."""
    row = connection.execute(
        """SELECT max(newest.committed_at) FROM driftline.source AS s, LATERAL (
             SELECT committed_at FROM driftline.ledger
              WHERE ledger.source = s.id ORDER BY last_offset DESC LIMIT 1) AS newest
            WHERE s.model = %s AND s.stream = 'events'""",
        [model],
    ).fetchone()
    return None if row is None else row[0]


def since(connection: Connection, model: str, first: datetime, until: datetime) -> Arrived:
    """Messages of the events topic committed in [first, until)."""
    row = connection.execute(
        """SELECT coalesce(sum(logged + duplicate + rejected + filtered), 0)::bigint,
                  coalesce(sum(rejected), 0)::bigint
             FROM driftline.source AS s, LATERAL (
               SELECT * FROM driftline.ledger
                WHERE ledger.source = s.id ORDER BY last_offset DESC LIMIT %(rows)s) AS newest
            WHERE s.model = %(model)s AND s.stream = 'events'
              AND committed_at >= %(first)s AND committed_at < %(until)s""",
        {"rows": _MAX_ROWS, "model": model, "first": first, "until": until},
    ).fetchone()
    assert row is not None
    return Arrived(*row)
