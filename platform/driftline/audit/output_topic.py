"""Compares the output topic with the store: missing, repeated, different and unknown records."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from confluent_kafka import Message
from psycopg import sql

from driftline import names
from driftline.kafka.topic import Partition, Topic
from driftline.storage.connection import Connection
from driftline.storage.log.rows import stream

KEYS = ["event_id", "ms"]  # the topic may hold times in whole milliseconds

STORED = pa.schema(
    [
        pa.field("event_id", pa.string()),
        pa.field("ms", pa.int64()),
        pa.field("us", pa.int64()),
        pa.field("model_version", pa.int32()),
        pa.field("score", pa.float64()),
        pa.field("age_ms", pa.int64()),
    ]
)
PUBLISHED = pa.schema(
    [
        pa.field("event_id", pa.string()),
        pa.field("ms", pa.int64()),
        pa.field("model_version", pa.int32()),
        pa.field("score", pa.float64()),
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
    ]
)


class _Record(msgspec.Struct):
    """The compared fields of the records that the job writes."""

    event_id: str
    event_time: datetime
    model_version: int
    score: float | None


@dataclass
class Read:
    """The output topic's content.

    Attributes:
        records: rows of `PUBLISHED`.
        unreadable: (partition, offset) of records that are not predictions.
        partitions: how far each was read.
    """

    records: pa.Table
    unreadable: list[tuple[int, int]]
    partitions: dict[int, Partition]


def read(topic: Topic) -> Read:
    """All committed records of an output topic, to its current end offsets."""
    decoder = msgspec.json.Decoder(_Record)
    batches: list[pa.RecordBatch] = []
    unreadable: list[tuple[int, int]] = []

    def decode(messages: list[Message]) -> None:
        rows = []
        for message in messages:
            try:
                record = decoder.decode(message.value() or b"")
                rows.append((record, message.partition(), message.offset()))
            except msgspec.MsgspecError:
                unreadable.append((message.partition(), message.offset()))
        batches.append(_batch(rows))

    partitions = topic.read(topic.bounds(), decode)
    return Read(pa.Table.from_batches(batches, PUBLISHED), unreadable, partitions)


def _batch(rows: list[tuple[_Record, int, int]]) -> pa.RecordBatch:
    times = pa.array([record.event_time for record, _, _ in rows], pa.timestamp("us", tz="UTC"))
    columns = [
        pa.array([record.event_id for record, _, _ in rows], pa.string()),
        pa.array(times.cast(pa.int64()).to_numpy() // 1_000),
        pa.array([record.model_version for record, _, _ in rows], pa.int32()),
        pa.array([record.score for record, _, _ in rows], pa.float64()),
        pa.array([partition for _, partition, _ in rows], pa.int32()),
        pa.array([offset for _, _, offset in rows], pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PUBLISHED)


def stored(connection: Connection, model: str, condition: sql.Composable | None = None) -> pa.Table:
    """The stored rows that should be in the output topic: rows of `STORED`.

    Parameters:
        condition: SQL over the columns of the prediction table; None for all rows.
    """
    query = sql.SQL(
        """SELECT event_id, (extract(epoch FROM event_time) * 1000000)::bigint AS us,
                  model_version, nullif(score, 'NaN') AS score,
                  (date_part('epoch', clock_timestamp() - scored_at) * 1000)::bigint AS age_ms
             FROM {} WHERE {}"""
    ).format(
        sql.Identifier(names.SCHEMA, names.prediction_table(model)), condition or sql.SQL("true")
    )
    batches = [_with_ms(batch) for batch in stream(connection, query, None)]
    return pa.Table.from_batches(batches, STORED)


def _with_ms(batch: pa.RecordBatch) -> pa.RecordBatch:
    ms = pa.array(batch.column("us").to_numpy() // 1_000)
    columns = {**dict(zip(batch.schema.names, batch.columns, strict=True)), "ms": ms}
    return pa.RecordBatch.from_arrays([columns[name] for name in STORED.names], schema=STORED)


@dataclass(frozen=True)
class Publication:
    """The output topic compared with the store.

    Attributes:
        published: number of stored rows in the topic.
        awaiting: number of rows missing from the topic, but within the grace period.
        expired: number of rows that the topic's own retention has deleted.
        missing: rows of `STORED` that are missing from the topic.
        repeated: `KEYS` and n, the number of surplus records.
        different: rows of `PUBLISHED` with another version or score than the stored row.
        unknown: rows of `PUBLISHED` that are not in the store.
    """

    published: int
    awaiting: int
    expired: int
    missing: pa.Table
    repeated: pa.Table
    different: pa.Table
    unknown: pa.Table


def compare(rows: pa.Table, topic: Read, grace: timedelta) -> Publication:
    """Compare stored rows with the topic's records.

    Parameters:
        rows: rows of `STORED`.
        grace: rows scored more recently than this might not be published yet.
    """
    records = topic.records
    expected = rows.group_by(KEYS).aggregate([("us", "count")])
    counts = records.group_by(KEYS).aggregate([("offset", "count")])
    matched = expected.join(counts, KEYS, join_type="inner")
    surplus = pc.subtract(matched["offset_count"], matched["us_count"])
    repeated = matched.append_column("n", surplus).filter(pc.greater(surplus, 0))
    absent = rows.join(counts, KEYS, join_type="left anti")
    absent = pa.concat_tables([absent, _surplus_rows(rows, matched, surplus)])
    within_grace = pc.less(absent["age_ms"], int(grace.total_seconds() * 1_000))
    overdue = absent.filter(pc.invert(within_grace))
    expired = pc.greater(overdue["age_ms"], _oldest(rows, topic))
    return Publication(
        published=rows.num_rows - absent.num_rows,
        awaiting=absent.num_rows - overdue.num_rows,
        expired=pc.sum(expired).as_py() or 0,
        missing=overdue.filter(pc.invert(expired)),
        repeated=repeated.select([*KEYS, "n"]),
        different=_different(rows, records),
        unknown=records.join(expected, KEYS, join_type="left anti"),
    )


def _surplus_rows(rows: pa.Table, matched: pa.Table, surplus: pa.ChunkedArray) -> pa.Table:
    """Of rows with the same ID and millisecond, those in excess of the topic's records."""
    fewer = (
        matched.select(KEYS)
        .append_column("n_missing", pc.negate(surplus))
        .filter(pc.less(surplus, 0))
    )
    if fewer.num_rows == 0:
        return rows.schema.empty_table()
    candidates = rows.join(fewer, KEYS, join_type="inner").sort_by(
        [("event_id", "ascending"), ("us", "descending")]
    )
    keys = list(zip(*(candidates[key].to_pylist() for key in KEYS), strict=True))
    keep, numbers = [], dict.fromkeys(keys, 0)
    for key, n_missing in zip(keys, candidates["n_missing"].to_pylist(), strict=True):
        numbers[key] += 1
        keep.append(numbers[key] <= n_missing)
    return candidates.filter(pa.array(keep)).select(rows.schema.names).cast(rows.schema)


def _oldest(rows: pa.Table, topic: Read) -> int:
    """The age in ms from which Kafka's retention may have deleted a row's record."""
    trimmed = [number for number, partition in topic.partitions.items() if partition.low > 0]
    if not trimmed:
        return np.iinfo(np.int64).max
    remaining = topic.records.filter(
        pc.is_in(topic.records["partition"], pa.array(trimmed, pa.int32()))
    )
    ages = rows.join(remaining.select([*KEYS, "partition"]), KEYS, join_type="inner")
    oldest = ages.group_by("partition").aggregate([("age_ms", "max")])
    if oldest.num_rows < len(trimmed):
        return 0  # all records of a partition were deleted
    return int(pc.min(oldest["age_ms_max"]).as_py())


def _different(rows: pa.Table, records: pa.Table) -> pa.Table:
    numbered = records.append_column("row", pa.array(np.arange(records.num_rows)))
    pairs = numbered.join(
        rows.select([*KEYS, "model_version", "score"]),
        KEYS,
        right_suffix="_stored",
        join_type="inner",
    )
    equal = pc.and_(
        pc.equal(pairs["model_version"], pairs["model_version_stored"]),
        pc.or_(
            pc.fill_null(pc.equal(pairs["score"], pairs["score_stored"]), False),
            pc.and_(pc.is_null(pairs["score"]), pc.is_null(pairs["score_stored"])),
        ),
    )
    by_row = pairs.append_column("same", equal).group_by("row").aggregate([("same", "any")])
    different_rows = by_row.filter(pc.invert(by_row["same_any"]))["row"]
    return records.take(different_rows)
