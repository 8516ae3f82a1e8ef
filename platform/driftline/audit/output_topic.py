"""The output topic beside the store: which rows it has, lacks, has twice or has otherwise."""

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
    """What the job writes, as far as it is compared."""

    event_id: str
    event_time: datetime
    model_version: int
    score: float | None


@dataclass
class Read:
    """The output topic's content.

    Attributes:
        records: rows of `PUBLISHED`.
        unreadable: (partition, offset) of what is no prediction.
        partitions: how far each was read.
    """

    records: pa.Table
    unreadable: list[tuple[int, int]]
    partitions: dict[int, Partition]


def read(topic: Topic) -> Read:
    """All committed records of an output topic, to its present ends."""
    decoder = msgspec.json.Decoder(_Record)
    batches: list[pa.RecordBatch] = []
    unreadable: list[tuple[int, int]] = []

    def each(messages: list[Message]) -> None:
        rows = []
        for message in messages:
            try:
                record = decoder.decode(message.value() or b"")
                rows.append((record, message.partition(), message.offset()))
            except msgspec.MsgspecError:
                unreadable.append((message.partition(), message.offset()))
        batches.append(_batch(rows))

    partitions = topic.read(topic.bounds(), each)
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
    """The stored rows that are, or should be, in the output topic: rows of `STORED`.

    Parameters:
        condition: SQL over the columns of the prediction table; None gives all rows.
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
        published: how many of the stored rows it holds.
        awaiting: how many are too young to be missed.
        expired: how many are missing that the topic's own retention has deleted.
        missing: rows of `STORED` that it lacks.
        doubled: `KEYS` and n: how many records too many.
        different: rows of `PUBLISHED` with another version or score than the stored row's.
        strangers: rows of `PUBLISHED` that the store does not have.
    """

    published: int
    awaiting: int
    expired: int
    missing: pa.Table
    doubled: pa.Table
    different: pa.Table
    strangers: pa.Table


def compare(rows: pa.Table, topic: Read, grace: timedelta) -> Publication:
    """Compare stored rows with the topic's records.

    Parameters:
        rows: rows of `STORED`.
        grace: rows that were scored later than this ago may still be on their way.
    """
    records = topic.records
    wanted = rows.group_by(KEYS).aggregate([("us", "count")])
    there = records.group_by(KEYS).aggregate([("offset", "count")])
    both = wanted.join(there, KEYS, join_type="inner")
    surplus = pc.subtract(both["offset_count"], both["us_count"])
    doubled = both.append_column("n", surplus).filter(pc.greater(surplus, 0))
    absent = rows.join(there, KEYS, join_type="left anti")
    absent = pa.concat_tables([absent, _some_absent(rows, both, surplus)])
    young = pc.less(absent["age_ms"], int(grace.total_seconds() * 1_000))
    late = absent.filter(pc.invert(young))
    gone = pc.greater(late["age_ms"], _oldest(rows, topic))
    return Publication(
        published=rows.num_rows - absent.num_rows,
        awaiting=absent.num_rows - late.num_rows,
        expired=pc.sum(gone).as_py() or 0,
        missing=late.filter(pc.invert(gone)),
        doubled=doubled.select([*KEYS, "n"]),
        different=_different(rows, records),
        strangers=records.join(wanted, KEYS, join_type="left anti"),
    )


def _some_absent(rows: pa.Table, both: pa.Table, surplus: pa.ChunkedArray) -> pa.Table:
    """Of rows with one id within one millisecond, those that are too many for the topic's."""
    short = (
        both.select(KEYS).append_column("lacking", pc.negate(surplus)).filter(pc.less(surplus, 0))
    )
    if short.num_rows == 0:
        return rows.schema.empty_table()
    candidates = rows.join(short, KEYS, join_type="inner").sort_by(
        [("event_id", "ascending"), ("us", "descending")]
    )
    keys = list(zip(*(candidates[key].to_pylist() for key in KEYS), strict=True))
    keep, seen = [], dict.fromkeys(keys, 0)
    for key, lacking in zip(keys, candidates["lacking"].to_pylist(), strict=True):
        seen[key] += 1
        keep.append(seen[key] <= lacking)
    return candidates.filter(pa.array(keep)).select(rows.schema.names).cast(rows.schema)


def _oldest(rows: pa.Table, topic: Read) -> int:
    """The age in ms beyond which a row may have left the topic by Kafka's own retention."""
    trimmed = [number for number, part in topic.partitions.items() if part.low > 0]
    if not trimmed:
        return np.iinfo(np.int64).max
    kept = topic.records.filter(pc.is_in(topic.records["partition"], pa.array(trimmed, pa.int32())))
    ages = rows.join(kept.select([*KEYS, "partition"]), KEYS, join_type="inner")
    oldest = ages.group_by("partition").aggregate([("age_ms", "max")])
    if oldest.num_rows < len(trimmed):
        return 0  # a partition whose every record is deleted
    return int(pc.min(oldest["age_ms_max"]).as_py())


def _different(rows: pa.Table, records: pa.Table) -> pa.Table:
    numbered = records.append_column("row", pa.array(np.arange(records.num_rows)))
    pairs = numbered.join(
        rows.select([*KEYS, "model_version", "score"]),
        KEYS,
        right_suffix="_stored",
        join_type="inner",
    )
    same = pc.and_(
        pc.equal(pairs["model_version"], pairs["model_version_stored"]),
        pc.or_(
            pc.fill_null(pc.equal(pairs["score"], pairs["score_stored"]), False),
            pc.and_(pc.is_null(pairs["score"]), pc.is_null(pairs["score_stored"])),
        ),
    )
    judged = pairs.append_column("same", same).group_by("row").aggregate([("same", "any")])
    wrong = judged.filter(pc.invert(judged["same_any"]))["row"]
    return records.take(wrong)
