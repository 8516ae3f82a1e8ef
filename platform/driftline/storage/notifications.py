"""The outbox: messages that wait until somebody was told, written with what they tell of."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from driftline.storage.connection import Connection

Kind = Literal["fired", "changed", "resolved"]


@dataclass(frozen=True)
class Message:
    """A message that waits.

    Attributes:
        dedupe_key: the same for every delivery of the same message.
        tries: deliveries that failed.
    """

    id: int
    dedupe_key: str
    incident_id: int
    kind: Kind
    title: str
    body: str
    created_at: datetime
    tries: int


def add(
    connection: Connection, dedupe_key: str, incident_id: int, *, kind: Kind, title: str, body: str
) -> None:
    """Put a message into the outbox, once, in the caller's transaction."""
    connection.execute(
        """INSERT INTO driftline.notification (dedupe_key, incident_id, kind, title, body)
           VALUES (%s, %s, %s, %s, %s) ON CONFLICT (dedupe_key) DO NOTHING""",
        (dedupe_key, incident_id, kind, title, body),
    )


def claim(connection: Connection, per_hour: int) -> Message | None:
    """Lock the oldest message that is due, unless enough were sent within the last hour.

    The lock ends with the caller's transaction; no other process gets the message meanwhile.
    """
    row = connection.execute(
        """SELECT id, dedupe_key, incident_id, kind, title, body, created_at, tries
             FROM driftline.notification
            WHERE sent_at IS NULL AND next_try_at <= clock_timestamp()
              AND (SELECT count(*) FROM driftline.notification
                    WHERE sent_at > clock_timestamp() - interval '1 hour'
                      AND outcome = 'sent') < %s
            ORDER BY next_try_at, id LIMIT 1 FOR UPDATE SKIP LOCKED""",
        [per_hour],
    ).fetchone()
    return None if row is None else Message(*row)


def sent(connection: Connection, number: int, outcome: str = "sent") -> None:
    """A message needs no more tries: it was sent, or nobody wants it."""
    connection.execute(
        """UPDATE driftline.notification
              SET sent_at = clock_timestamp(), outcome = %s, tries = tries + 1 WHERE id = %s""",
        [outcome, number],
    )


def failed(connection: Connection, number: int, outcome: str, after: timedelta) -> None:
    """A delivery failed; another one is due after a while."""
    connection.execute(
        """UPDATE driftline.notification
              SET tries = tries + 1, outcome = %s,
                  next_try_at = clock_timestamp() + %s::interval WHERE id = %s""",
        [outcome, after, number],
    )


def waiting(connection: Connection) -> int:
    """How many messages wait."""
    row = connection.execute(
        "SELECT count(*) FROM driftline.notification WHERE sent_at IS NULL"
    ).fetchone()
    assert row is not None
    return int(row[0])
