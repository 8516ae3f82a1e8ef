"""Repairs the output topic from the store: publishes missing predictions as the job does."""

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from psycopg import sql

from driftline import names
from driftline.audit import output_topic
from driftline.audit.output_topic import STORED
from driftline.config import Config, Kafka
from driftline.errors import ConfigError
from driftline.kafka.produce import Sender
from driftline.kafka.topic import Topic
from driftline.storage.connection import Connection, connect

_BATCH_ROWS = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def republish(
    config: Config,
    model: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    everything: bool = False,
    grace: timedelta | None = None,
) -> int:
    """Publish stored predictions to the output topic; returns their number.

    Publishes only missing ones, so running it twice publishes nothing twice. A record has
    the job's fields: event_id (also its key), event_time, model, model_version, score, outputs.

    Parameters:
        since, until: only predictions with event times in [since, until).
        everything: also predictions that are in the topic already, for readers of a new topic.
        grace: skip predictions scored more recently than this, which the job may still publish.
            Default: three checkpoint intervals and a minute; use zero when the job has ended.

    Raises:
        ConfigError: the model has no output topic.
        ServiceError: the broker or the database cannot be reached, or rejects the account.
    """
    output = config.model(model).output
    if output is None:
        raise ConfigError(f"model {model!r} has no output topic: set models.{model}.output")
    wait = 3 * config.flink.checkpoint_interval + timedelta(minutes=1) if grace is None else grace
    kafka = config.local_kafka()
    with connect(config.local_postgres(), "read") as connection:
        rows = output_topic.stored(connection, model, _between(since, until))
        missing = rows if everything else _missing(rows, kafka, output.topic, wait)
        _publish(connection, Sender(kafka), model, output.topic, missing)
    return int(missing.num_rows)


def _between(since: datetime | None, until: datetime | None) -> sql.Composable:
    parts: list[sql.Composable] = [sql.SQL("true")]
    if since is not None:
        parts.append(sql.SQL("event_time >= {}").format(sql.Literal(since)))
    if until is not None:
        parts.append(sql.SQL("event_time < {}").format(sql.Literal(until)))
    return sql.SQL(" AND ").join(parts)


def _missing(rows: pa.Table, kafka: Kafka, topic: str, grace: timedelta) -> pa.Table:
    with Topic(kafka, topic) as output:
        return output_topic.compare(rows, output_topic.read(output), grace).missing


def _publish(
    connection: Connection, sender: Sender, model: str, topic: str, rows: pa.Table
) -> None:
    for batch in rows.sort_by("us").select(STORED.names).to_batches(max_chunksize=_BATCH_ROWS):
        for event_id, event_time, version, score, outputs in _outputs(connection, model, batch):
            record = {
                "event_id": event_id,
                "event_time": _iso(event_time),
                "model": model,
                "model_version": version,
                "score": score,
                "outputs": outputs,
            }
            sender.send(topic, json.dumps(record).encode(), key=event_id.encode())
        sender.flush()


def _outputs(
    connection: Connection, model: str, keys: pa.RecordBatch
) -> list[tuple[str, datetime, int, float | None, str | None]]:
    """The stored rows of some keys, with their outputs."""
    query = sql.SQL(
        """SELECT p.event_id, p.event_time, p.model_version, nullif(p.score, 'NaN'), p.outputs::text
             FROM {} AS p
             JOIN unnest(%s::text[], %s::timestamptz[]) AS k (event_id, event_time)
               ON p.event_time = k.event_time AND p.event_id = k.event_id
            ORDER BY p.event_time, p.event_id"""
    ).format(sql.Identifier(names.SCHEMA, names.prediction_table(model)))
    times = [_EPOCH + timedelta(microseconds=us) for us in keys.column("us").to_pylist()]
    return connection.execute(query, (keys.column("event_id").to_pylist(), times)).fetchall()


def _iso(time: datetime) -> str:
    digits = "microseconds" if time.microsecond % 1_000 else "milliseconds"
    return time.astimezone(UTC).isoformat(timespec=digits).replace("+00:00", "Z")
