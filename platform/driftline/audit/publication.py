"""Checks that the output topic holds each logged row, as stored, the right number of times."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
from psycopg import sql

from driftline import names
from driftline.audit import output_topic, stored_offsets
from driftline.audit.gather import Scope
from driftline.audit.output_topic import KEYS, Publication, Read
from driftline.audit.report import Difference
from driftline.config import Config
from driftline.errors import AuditError
from driftline.kafka import intervals
from driftline.kafka.topic import Topic
from driftline.storage.connection import Connection, connect

_SHOWN = 5


def grace(config: Config) -> timedelta:
    """How long publishing a stored row may take: readers see it after the next checkpoint."""
    return 3 * config.flink.checkpoint_interval + timedelta(minutes=1)


def compare(
    connection: Connection, config: Config, model: str, scope: Scope | None, allowed: timedelta
) -> tuple[Publication | None, list[Difference]]:
    """Compare the logged rows with the output topic, if the model has one.

    Parameters:
        connection: in a transaction whose snapshot was taken before.
        scope: only the rows of these offsets; None compares all, in both directions.
        allowed: how long publishing a row may take.

    Raises:
        AuditError: the output topic does not exist.
    """
    output = config.model(model).output
    if output is None:
        return None, []
    rows = output_topic.stored(connection, model, scope.condition() if scope else None)
    with Topic(config.local_kafka(), output.topic) as topic:
        if not topic.bounds():
            raise AuditError(f"output topic {output.topic!r} does not exist: create it")
        content = output_topic.read(topic)
    result = output_topic.compare(rows, content, allowed)
    place = f"output topic {output.topic}"
    differences = [
        _ids("unpublished", place, result.missing, "missing from the topic:"),
        _records(
            "published differently",
            place,
            result.different,
            "version or score differs from the stored row:",
        ),
    ]
    if output.delivery == "exactly_once":
        differences.append(_repeated(place, result.repeated))
    if scope is None:
        unknown = _unknown(connection, config, model, result.unknown)
        differences += [
            _records("not in the store", place, unknown, "published but not stored:"),
            _unreadable(place, content),
        ]
    return result, [difference for difference in differences if difference.count]


def _ids(kind: str, where: str, rows: pa.Table, detail: str) -> Difference:
    examples = ", ".join(map(repr, rows["event_id"].slice(0, _SHOWN).to_pylist()))
    return Difference(kind, where, rows.num_rows, f"{detail} {examples}")


def _records(kind: str, where: str, records: pa.Table, detail: str) -> Difference:
    examples = ", ".join(
        f"{record['event_id']!r} at {record['partition']}:{record['offset']}"
        for record in records.slice(0, _SHOWN).to_pylist()
    )
    return Difference(kind, where, records.num_rows, f"{detail} {examples}")


def _repeated(where: str, rows: pa.Table) -> Difference:
    difference = _ids("published twice", where, rows, "more records than stored rows:")
    count = int(rows["n"].to_numpy().sum())
    return Difference(difference.kind, where, count, difference.detail)


def _unreadable(where: str, content: Read) -> Difference:
    shown = ", ".join(f"{partition}:{offset}" for partition, offset in content.unreadable[:_SHOWN])
    return Difference("unreadable", where, len(content.unreadable), f"not predictions: {shown}")


def _unknown(connection: Connection, config: Config, model: str, records: pa.Table) -> pa.Table:
    """Of records without a stored row, those whose row was neither dropped nor stored since."""
    ms = records["ms"].to_numpy()
    stored_times = stored_offsets.chunks(connection, names.prediction_table(model)) // 1_000
    inside = intervals.counts(stored_times, np.stack((ms, ms + 1), axis=1)) == 1
    records = records.filter(pa.array(inside))
    if records.num_rows == 0:
        return records
    limits = sql.SQL(
        "event_time >= to_timestamp({} / 1000.0) AND event_time < to_timestamp({} / 1000.0)"
    ).format(sql.Literal(int(ms.min()) - 1), sql.Literal(int(ms.max()) + 2))
    with connect(config.local_postgres(), "read") as second:
        stored_since = output_topic.stored(second, model, limits)
    return records.join(stored_since.select(KEYS), KEYS, join_type="left anti")
