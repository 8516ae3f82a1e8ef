"""The store's data about offsets, read in one snapshot: the ledger, and the rows themselves."""

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

ALL_OFFSETS = (0, 1 << 62)
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
        spans: int64[m, 2], the offsets of all rows; those of one row are consecutive.
        row: int64[m], the row that each of the spans belongs to.
    """

    committed_at: Ints
    counts: Ints
    spans: Ints
    row: Ints

    def per_row(self, spans: Ints) -> Ints:
        """How many offsets of a set each row covers, int64[n]."""
        counts = np.zeros(len(self.counts), dtype=np.int64)
        np.add.at(counts, self.row, intervals.counts(spans, self.spans))
        return counts

    def spans_of(self, rows: npt.NDArray[np.bool_]) -> Ints:
        """The offsets that some rows cover, given as bool[n]."""
        return intervals.union(self.spans[rows[self.row]])


@dataclass(frozen=True)
class OffsetSets:
    """The offsets in the rows of one table: as a set, and those in two rows or more."""

    spans: Ints
    repeated: Ints


NO_OFFSETS = OffsetSets(intervals.EMPTY, intervals.EMPTY)


class _NumpyInt8Array(Loader):
    """A bigint[] as an int64 array, without a Python object for each number."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Ints:
        if len(data) < 20:  # the header of an empty array is shorter
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
    rows_read = connection.execute(
        "SELECT id, stream, topic, partition FROM driftline.source WHERE model = %s ORDER BY id",
        [model],
    ).fetchall()
    return [Source(*row) for row in rows_read]


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
    ledger_rows = rows(connection, query, (source, *bounds))
    lengths = [len(lower) for _, _, lower, _ in ledger_rows]
    empty = np.zeros(0, dtype=np.int64)
    return Ledger(
        committed_at=np.array([at for at, *_ in ledger_rows], dtype=np.int64),
        counts=np.array([counts for _, counts, _, _ in ledger_rows], dtype=np.int64).reshape(-1, 4),
        spans=np.stack(
            [
                np.concatenate([empty, *(lower for _, _, lower, _ in ledger_rows)]),
                np.concatenate([empty, *(upper for _, _, _, upper in ledger_rows)]),
            ],
            axis=1,
        ),
        row=np.repeat(np.arange(len(ledger_rows)), lengths),
    )


def offsets(connection: Connection, table: str, bounds: Bounds) -> dict[int, OffsetSets]:
    """The offsets in the rows of a table, of each source within its bounds."""
    if not bounds:
        return {}
    query = sql.SQL(
        """SELECT t.source, array_agg(kafka_offset)
             FROM {} AS t
             JOIN unnest(%s::int[], %s::bigint[], %s::bigint[]) AS bounds (source, first, past)
               ON t.source = bounds.source AND kafka_offset >= first AND kafka_offset < past
            WHERE kafka_offset >= %s AND kafka_offset < %s
            GROUP BY t.source, kafka_offset >> 20"""
    ).format(sql.Identifier(names.SCHEMA, table))
    firsts, ends = [first for first, _ in bounds.values()], [end for _, end in bounds.values()]
    parts: dict[int, list[OffsetSets]] = {source: [] for source in bounds}
    for source, values in rows(
        connection, query, (list(bounds), firsts, ends, min(firsts), max(ends))
    ):
        parts[source].append(_offset_sets(values))
    return {source: _join(sets) for source, sets in parts.items()}


def _offset_sets(values: Ints) -> OffsetSets:
    distinct, times = np.unique(values, return_counts=True)
    return OffsetSets(intervals.of(distinct), intervals.of(distinct[times > 1]))


def _join(parts: list[OffsetSets]) -> OffsetSets:
    if not parts:
        return NO_OFFSETS
    return OffsetSets(
        intervals.union(*(part.spans for part in parts)),
        intervals.union(*(part.repeated for part in parts)),
    )


def chunks(connection: Connection, table: str) -> Ints:
    """The times that a hypertable has chunks for, in microseconds since 1970.

    No rows are stored outside: they were dropped with their chunk.
    """
    query = sql.SQL(
        """SELECT array_agg((date_part('epoch', range_start) * 1000000)::bigint),
                  array_agg((date_part('epoch', range_end) * 1000000)::bigint)
             FROM timescaledb_information.chunks
            WHERE hypertable_schema = %s AND hypertable_name = %s
            GROUP BY hypertable_name"""
    )
    bounds = rows(connection, query, (names.SCHEMA, table))
    return intervals.union(np.stack(bounds[0], axis=1)) if bounds else intervals.EMPTY
