"""The outbox: messages that wait until somebody was told, written with what they tell of."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, LiteralString

from driftline.storage.connection import Connection

Kind = Literal["fired", "changed", "resolved"]


@dataclass(frozen=True)
class Message:
    """A message that waits.

    Attributes:
        dedupe_key: the same for every delivery of the same message.
        tries: deliveries that failed.
        outcome: of the last of them, or that it was silenced.
        taken: marks of the addresses that took it already.
        since: when it was written, or when a silence that held it back has ended.
    """

    id: int
    dedupe_key: str
    incident_id: int
    kind: Kind
    title: str
    body: str
    created_at: datetime
    tries: int
    outcome: str
    taken: list[str]
    since: datetime


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

    One of an incident comes after those before it. The lock ends with the caller's transaction;
    no other process gets the message meanwhile.
    """
    row = connection.execute(
        """SELECT id, dedupe_key, incident_id, kind, title, body, created_at, tries, outcome, taken,
                  greatest(created_at,
                           (SELECT max(s.ends_at) FROM driftline.silence AS s
                              JOIN driftline.incident AS i ON i.model = s.model
                                   AND (s.family IS NULL OR s.family = i.family)
                             WHERE i.id = own.incident_id AND s.ends_at <= clock_timestamp()))
             FROM driftline.notification AS own
            WHERE sent_at IS NULL AND next_try_at <= clock_timestamp()
              AND (SELECT count(*) FROM driftline.notification
                    WHERE sent_at > clock_timestamp() - interval '1 hour'
                      AND outcome = 'sent') < %s
              AND NOT EXISTS (SELECT FROM driftline.notification AS earlier
                               WHERE earlier.sent_at IS NULL AND earlier.taken = '{}'
                                 AND earlier.incident_id = own.incident_id
                                 AND earlier.id < own.id)
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


def failed(
    connection: Connection, number: int, outcome: str, after: timedelta, taken: list[str]
) -> None:
    """A delivery failed at some addresses, not at those that took it; another is due soon."""
    connection.execute(
        """UPDATE driftline.notification
              SET tries = tries + 1, outcome = %s, taken = %s,
                  next_try_at = clock_timestamp() + %s::interval WHERE id = %s""",
        [outcome, taken, after, number],
    )


def put_off(connection: Connection, number: int, outcome: str, after: timedelta) -> None:
    """A message is not to be told now."""
    connection.execute(
        """UPDATE driftline.notification
              SET outcome = %s, next_try_at = clock_timestamp() + %s::interval WHERE id = %s""",
        [outcome, after, number],
    )


def told(connection: Connection, message: Message) -> bool:
    """Whether anybody was told of its incident before, or knows of it: who acknowledged it does."""
    known = "id < %s AND (outcome IN ('sent', 'grafana', 'acknowledged') OR taken <> '{}')"
    return _has(connection, message, known)


def superseded(connection: Connection, message: Message) -> bool:
    """Whether there is a newer message of its incident."""
    return _has(connection, message, "id > %s")


def _has(connection: Connection, message: Message, condition: LiteralString) -> bool:
    row = connection.execute(
        f"""SELECT EXISTS (SELECT FROM driftline.notification
                            WHERE incident_id = %s AND {condition})""",  # noqa: S608 - constants
        [message.incident_id, message.id],
    ).fetchone()
    assert row is not None
    return bool(row[0])


def waiting(connection: Connection) -> int:
    """How many messages are due."""
    row = connection.execute(
        """SELECT count(*) FROM driftline.notification
            WHERE sent_at IS NULL AND next_try_at <= clock_timestamp()"""
    ).fetchone()
    assert row is not None
    return int(row[0])
