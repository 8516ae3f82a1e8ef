"""Lists rejected messages and sends them again; `Ledger.store_rejects` stores them completely."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from psycopg import sql

from driftline.config import Config
from driftline.kafka.produce import Sender
from driftline.storage.connection import Connection, connect
from driftline.storage.log.far_times import read_far_times

_REPLAY_BATCH = 1_000  # messages in one transaction of a replay


@dataclass(frozen=True)
class Filter:
    """Selects the rejected messages that match every given criterion.

    Attributes:
        reason: exactly this reason.
        since, until: rejected in [since, until).
        replayed: whether messages that were replayed before are included.
    """

    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    replayed: bool = True

    def condition(self, model: str) -> sql.Composed:
        """SQL over `rejected AS r` joined with `source AS s`."""
        parts = [sql.SQL("s.model = {}").format(sql.Literal(model))]
        if self.reason is not None:
            parts.append(sql.SQL("r.reason = {}").format(sql.Literal(self.reason)))
        if self.since is not None:
            parts.append(sql.SQL("r.rejected_at >= {}").format(sql.Literal(self.since)))
        if self.until is not None:
            parts.append(sql.SQL("r.rejected_at < {}").format(sql.Literal(self.until)))
        if not self.replayed:
            parts.append(sql.SQL("r.replayed_at IS NULL").format())
        return sql.SQL(" AND ").join(parts)


@dataclass(frozen=True)
class Rejected:
    """One rejected message.

    Attributes:
        stream: `events` or `labels`.
        kafka_time: text if the year is after 9999; `kafka_ms` is the same time as Kafka stores it.
        payload: the message itself; None if it had no value.
        replayed_at: when it was last sent again.
    """

    rejected_at: datetime
    stream: str
    topic: str
    partition: int
    offset: int
    kafka_time: datetime | str
    kafka_ms: int
    reason: str
    detail: str
    payload: bytes | None
    replayed_at: datetime | None


_COLUMNS = sql.SQL(
    """r.rejected_at, s.stream, s.topic, s.partition, r.kafka_offset, r.kafka_time,
       (extract(epoch FROM r.kafka_time) * 1000)::bigint, r.reason, r.detail, r.payload,
       r.replayed_at"""
)


def find(
    connection: Connection, model: str, selection: Filter | None = None, limit: int = 100
) -> list[Rejected]:
    """The latest rejected messages of a model, newest first."""
    query = sql.SQL(
        """SELECT {} FROM driftline.rejected AS r JOIN driftline.source AS s ON s.id = r.source
            WHERE {} ORDER BY r.rejected_at DESC, r.source, r.kafka_offset DESC LIMIT {}"""
    ).format(_COLUMNS, (selection or Filter()).condition(model), sql.Literal(limit))
    read_far_times(connection)
    return [Rejected(*row) for row in connection.execute(query).fetchall()]


def counts(
    connection: Connection, model: str, selection: Filter | None = None
) -> list[tuple[str, str, int, int]]:
    """(stream, reason, messages, replayed messages) for each reason, most frequent first."""
    query = sql.SQL(
        """SELECT s.stream, r.reason, count(*), count(r.replayed_at)
             FROM driftline.rejected AS r JOIN driftline.source AS s ON s.id = r.source
            WHERE {} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"""
    ).format((selection or Filter()).condition(model))
    return connection.execute(query).fetchall()


@dataclass(frozen=True)
class Replayed:
    """Result of a replay: messages sent again, and messages without a value to send."""

    sent: int
    empty: int


def replay(
    config: Config, model: str, selection: Filter | None = None, *, again: bool = False
) -> Replayed:
    """Send rejected messages to their topic again, with their original Kafka times.

    A message is marked as replayed after the broker acknowledged it. After an interruption the next
    replay may send some twice; the job then logs them once and counts a duplicate.

    Parameters:
        selection: only these messages.
        again: include messages that were replayed before.

    Raises:
        ServiceError: the broker or the database cannot be reached, or rejects the account.
    """
    selection = replace(selection or Filter(), replayed=again)
    sender = Sender(config.local_kafka())
    sent = 0
    with connect(config.local_postgres(), "write") as connection:
        read_far_times(connection)
        now, empty = _start(connection, model, selection)
        while claimed := _claim(connection, model, selection, now):
            _send(sender, [message for _, message in claimed])
            _mark(connection, [source for source, _ in claimed], [m for _, m in claimed], now)
            connection.commit()
            sent += len(claimed)
    return Replayed(sent, empty)


def _start(connection: Connection, model: str, selection: Filter) -> tuple[datetime, int]:
    """When the replay started, and how many of its messages have no value."""
    query = sql.SQL(
        """SELECT clock_timestamp(), count(*)
             FROM driftline.rejected AS r JOIN driftline.source AS s ON s.id = r.source
            WHERE {} AND r.payload IS NULL"""
    ).format(selection.condition(model))
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0], row[1]


def _claim(
    connection: Connection, model: str, selection: Filter, now: datetime
) -> list[tuple[int, Rejected]]:
    """Lock the next messages, oldest first; excludes messages rejected after the start."""
    query = sql.SQL(
        """SELECT r.source, {}
             FROM driftline.rejected AS r JOIN driftline.source AS s ON s.id = r.source
            WHERE {} AND r.payload IS NOT NULL AND r.rejected_at < {now}
              AND (r.replayed_at IS NULL OR r.replayed_at < {now})
            ORDER BY r.rejected_at, r.source, r.kafka_offset LIMIT {limit}
              FOR UPDATE OF r SKIP LOCKED"""
    ).format(
        _COLUMNS, selection.condition(model), now=sql.Literal(now), limit=sql.Literal(_REPLAY_BATCH)
    )
    return [(source, Rejected(*row)) for source, *row in connection.execute(query).fetchall()]


def _send(sender: Sender, messages: Sequence[Rejected]) -> None:
    for message in messages:
        sender.send(
            message.topic,
            message.payload or b"",
            partition=message.partition,
            timestamp=message.kafka_ms,
            headers={"driftline-replay": f"{message.partition}:{message.offset}"},
        )
    sender.flush()


def _mark(
    connection: Connection, sources: Sequence[int], messages: Sequence[Rejected], now: datetime
) -> None:
    connection.execute(
        """UPDATE driftline.rejected AS r SET replayed_at = %s
             FROM unnest(%s::timestamptz[], %s::int[], %s::bigint[]) AS m (at, source, n)
            WHERE r.rejected_at = m.at AND r.source = m.source AND r.kafka_offset = m.n""",
        (
            now,
            [message.rejected_at for message in messages],
            list(sources),
            [message.offset for message in messages],
        ),
    )
