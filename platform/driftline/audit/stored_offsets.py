"""What the store holds about offsets, read in one snapshot: the ledger, and the rows themselves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import sql
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format

from driftline import names
from driftline.kafka import intervals
from driftline.kafka.intervals import Ints
from driftline.storage.connection import Connection

EVERYTHING = (0, 1 << 62)
_INT8_ARRAY = 1016  # the type number of bigint[]

Bounds = Mapping[int, tuple[int, int]]  # source -> first and end offset


@dataclass(frozen=True)
class Source:
    """One partition of one topic, as the store numbers it."""

    id: int
    stream: str
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.stream} {self.topic}[{self.partition}]"


@dataclass(frozen=True)
class Ledger:
    """The ledger of one source, n rows.

    Attributes:
        committed_at: int64[n], microseconds since 1970.
        counts: int64[n, 4]: logged, duplicate, rejected, filtered.
        spans: int64[m, 2], the offsets of all rows; those of one row stand together.
        row: int64[m], the row that each of the spans belongs to.
    """

    committed_at: Ints
    counts: Ints
    spans: Ints
    row: Ints

    def per_row(self, spans: Ints) -> Ints:
        """How many offsets of a set each row covers, int64[n]."""
        found = np.zeros(len(self.counts), dtype=np.int64)
        np.add.at(found, self.row, intervals.counts(spans, self.spans))
        return found

    def spans_of(self, rows: npt.NDArray[np.bool_]) -> Ints:
        """The offsets that some rows cover, given as bool[n]."""
        return intervals.union(self.spans[rows[self.row]])


@dataclass(frozen=True)
class Found:
    """The offsets that rows of one table name: as a set, and those that two rows name."""

    spans: Ints
    repeated: Ints


NOTHING = Found(intervals.EMPTY, intervals.EMPTY)


class _NumpyInt8Array(Loader):
    """A bigint[] as an int64 array, without a Python object for each number."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Ints:
        if len(data) < 20:  # the head of an empty array is shorter
            return np.zeros(0, dtype=np.int64)
        elements = np.frombuffer(data, dtype=[("size", ">i4"), ("value", ">i8")], offset=20)
        return elements["value"].astype(np.int64)


def rows(connection: Connection, query: sql.SQL | sql.Composed, values: Any) -> list[Any]:
    """Run a query whose bigint[] columns come as int64 arrays."""
    with connection.cursor(binary=True) as cursor:
        cursor.adapters.register_loader(_INT8_ARRAY, _NumpyInt8Array)
        return cursor.execute(query, values).fetchall()


def sources(connection: Connection, model: str) -> list[Source]:
    """Every source that the model ever had."""
    found = connection.execute(
        "SELECT id, stream, topic, partition FROM driftline.source WHERE model = %s ORDER BY id",
        [model],
    ).fetchall()
    return [Source(*row) for row in found]


def ledger(connection: Connection, source: int, bounds: tuple[int, int]) -> Ledger:
    """The ledger rows of a source that touch some offsets, whole."""
    query = sql.SQL(
        """SELECT (date_part('epoch', committed_at) * 1000000)::bigint,
                  ARRAY[logged, duplicate, rejected, filtered],
                  ARRAY(SELECT lower(r) FROM unnest(offsets) AS r),
                  ARRAY(SELECT upper(r) FROM unnest(offsets) AS r)
             FROM driftline.ledger
            WHERE source = %s AND last_offset >= %s AND first_offset < %s"""
    )
    found = rows(connection, query, (source, *bounds))
    lengths = [len(lower) for _, _, lower, _ in found]
    nothing = np.zeros(0, dtype=np.int64)
    return Ledger(
        committed_at=np.array([at for at, *_ in found], dtype=np.int64),
        counts=np.array([counts for _, counts, _, _ in found], dtype=np.int64).reshape(-1, 4),
        spans=np.stack(
            [
                np.concatenate([nothing, *(lower for _, _, lower, _ in found)]),
                np.concatenate([nothing, *(upper for _, _, _, upper in found)]),
            ],
            axis=1,
        ),
        row=np.repeat(np.arange(len(found)), lengths),
    )


def offsets(connection: Connection, table: str, bounds: Bounds) -> dict[int, Found]:
    """The offsets that the rows of a table name, of each source within its bounds."""
    if not bounds:
        return {}
    query = sql.SQL(
        """SELECT t.source, array_agg(kafka_offset)
             FROM {} AS t
             JOIN unnest(%s::int[], %s::bigint[], %s::bigint[]) AS wanted (source, first, past)
               ON t.source = wanted.source AND kafka_offset >= first AND kafka_offset < past
            WHERE kafka_offset >= %s AND kafka_offset < %s
            GROUP BY t.source, kafka_offset >> 20"""
    ).format(sql.Identifier(names.SCHEMA, table))
    firsts, ends = [first for first, _ in bounds.values()], [end for _, end in bounds.values()]
    parts: dict[int, list[Found]] = {source: [] for source in bounds}
    for source, values in rows(
        connection, query, (list(bounds), firsts, ends, min(firsts), max(ends))
    ):
        parts[source].append(_found(values))
    return {source: _join(some) for source, some in parts.items()}


def _found(values: Ints) -> Found:
    distinct, times = np.unique(values, return_counts=True)
    return Found(intervals.of(distinct), intervals.of(distinct[times > 1]))


def _join(parts: list[Found]) -> Found:
    if not parts:
        return NOTHING
    return Found(
        intervals.union(*(part.spans for part in parts)),
        intervals.union(*(part.repeated for part in parts)),
    )


def chunks(connection: Connection, table: str) -> Ints:
    """The times that a hypertable has chunks for, in microseconds since 1970.

    Nothing outside can be stored: rows that were there went with their chunk.
    """
    query = sql.SQL(
        """SELECT array_agg((date_part('epoch', range_start) * 1000000)::bigint),
                  array_agg((date_part('epoch', range_end) * 1000000)::bigint)
             FROM timescaledb_information.chunks
            WHERE hypertable_schema = %s AND hypertable_name = %s
            GROUP BY hypertable_name"""
    )
    found = rows(connection, query, (names.SCHEMA, table))
    return intervals.union(np.stack(found[0], axis=1)) if found else intervals.EMPTY
