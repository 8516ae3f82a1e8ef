"""The outbox: messages to be delivered, written in the transaction of the change they report."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, LiteralString

from driftline.storage.connection import Connection

Kind = Literal["fired", "changed", "resolved"]


@dataclass(frozen=True)
class Message:
    """A message waiting for delivery.

    Attributes:
        dedupe_key: the same for every delivery of the same message.
        attempts: deliveries that failed.
        outcome: of the last attempt, or that it was silenced.
        taken: identifiers of the addresses that already received it.
        since: when it was written, or when a silence that delayed it ended.
    """

    id: int
    dedupe_key: str
    incident_id: int
    kind: Kind
    title: str
    body: str
    created_at: datetime
    attempts: int
    outcome: str
    taken: list[str]
    since: datetime


def add(
    connection: Connection, dedupe_key: str, incident_id: int, *, kind: Kind, title: str, body: str
) -> None:
    """Add a message to the outbox, once, in the caller's transaction."""
    connection.execute(
        """INSERT INTO driftline.notification (dedupe_key, incident_id, kind, title, body)
           VALUES (%s, %s, %s, %s, %s) ON CONFLICT (dedupe_key) DO NOTHING""",
        (dedupe_key, incident_id, kind, title, body),
    )


def claim(connection: Connection, per_hour: int) -> Message | None:
    """Lock the oldest due message, unless `per_hour` messages were sent within the last hour.

    Messages of one incident keep their order. The lock ends with the caller's transaction; no other
    process gets the message meanwhile.
    """
    row = connection.execute(
        """SELECT id, dedupe_key, incident_id, kind, title, body, created_at, attempts, outcome,
                  taken, greatest(created_at,
                           (SELECT max(s.ends_at) FROM driftline.silence AS s
                              JOIN driftline.incident AS i ON i.model = s.model
                                   AND (s.family IS NULL OR s.family = i.family)
                             WHERE i.id = own.incident_id AND s.ends_at <= clock_timestamp()))
             FROM driftline.notification AS own
            WHERE sent_at IS NULL AND next_attempt_at <= clock_timestamp()
              AND (SELECT count(*) FROM driftline.notification
                    WHERE sent_at > clock_timestamp() - interval '1 hour'
                      AND outcome = 'sent') < %s
              AND NOT EXISTS (SELECT FROM driftline.notification AS earlier
                               WHERE earlier.sent_at IS NULL AND earlier.taken = '{}'
                                 AND earlier.incident_id = own.incident_id
                                 AND earlier.id < own.id)
            ORDER BY next_attempt_at, id LIMIT 1 FOR UPDATE SKIP LOCKED""",
        [per_hour],
    ).fetchone()
    return None if row is None else Message(*row)


def mark_sent(connection: Connection, number: int, outcome: str = "sent") -> None:
    """Mark a message as done: it was sent, or is no longer needed."""
    connection.execute(
        """UPDATE driftline.notification
              SET sent_at = clock_timestamp(), outcome = %s, attempts = attempts + 1
            WHERE id = %s""",
        [outcome, number],
    )


def mark_failed(
    connection: Connection, number: int, outcome: str, after: timedelta, taken: list[str]
) -> None:
    """Record that a delivery failed at addresses other than `taken`; retry `after` some time."""
    connection.execute(
        """UPDATE driftline.notification
              SET attempts = attempts + 1, outcome = %s, taken = %s,
                  next_attempt_at = clock_timestamp() + %s::interval WHERE id = %s""",
        [outcome, taken, after, number],
    )


def postpone(connection: Connection, number: int, outcome: str, after: timedelta) -> None:
    """Deliver a message later."""
    connection.execute(
        """UPDATE driftline.notification
              SET outcome = %s, next_attempt_at = clock_timestamp() + %s::interval WHERE id = %s""",
        [outcome, after, number],
    )


def already_notified(connection: Connection, message: Message) -> bool:
    """Whether anybody was notified of its incident before, or acknowledged it."""
    condition = "id < %s AND (outcome IN ('sent', 'grafana', 'acknowledged') OR taken <> '{}')"
    return _exists(connection, message, condition)


def superseded(connection: Connection, message: Message) -> bool:
    """Whether a newer message of its incident exists."""
    return _exists(connection, message, "id > %s")


def _exists(connection: Connection, message: Message, condition: LiteralString) -> bool:
    row = connection.execute(
        f"""SELECT EXISTS (SELECT FROM driftline.notification
                            WHERE incident_id = %s AND {condition})""",  # noqa: S608 - constants
        [message.incident_id, message.id],
    ).fetchone()
    assert row is not None
    return bool(row[0])


def count_due(connection: Connection) -> int:
    """The number of due messages."""
    row = connection.execute(
        """SELECT count(*) FROM driftline.notification
            WHERE sent_at IS NULL AND next_attempt_at <= clock_timestamp()"""
    ).fetchone()
    assert row is not None
    return int(row[0])
