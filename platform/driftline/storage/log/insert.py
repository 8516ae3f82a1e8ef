"""Inserting rows of which some may already exist."""

from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from psycopg import sql

from driftline import names
from driftline.errors import ServiceError
from driftline.storage.connection import Connection
from driftline.storage.log.copy import copy

# After a conflict more are likely: a failed plain COPY costs more than a careful one.
CAREFUL_BATCHES = 64


class Inserter:
    """Inserts batches into one table; the first row of a key is kept.

    Plain COPY while nothing conflicts; COPY to a temporary table and ON CONFLICT DO NOTHING after
    a conflict. Verifies that each row that was not inserted exists, even on faulty servers.

    Parameters:
        connection: as role `write`.
        table: in driftline's schema, with the columns source and kafka_offset.
        key: the columns of its unique key.
    """

    def __init__(self, connection: Connection, table: str, key: tuple[str, ...]) -> None:
        self._connection = connection
        self._table = table
        self._key = key
        self._careful = 0

    def insert(self, rows: pa.RecordBatch) -> NDArray[Any]:
        """Insert the rows whose key is new; returns which were inserted, bool[n]."""
        if len(rows) == 0:
            return np.ones(0, dtype=bool)
        if self._careful == 0:
            try:
                with self._connection.transaction():
                    copy(self._connection, self._table, rows)
                return np.ones(len(rows), dtype=bool)
            except psycopg.errors.UniqueViolation:
                self._careful = CAREFUL_BATCHES
        self._careful -= 1
        return self._insert_careful(rows)

    def _insert_careful(self, rows: pa.RecordBatch) -> NDArray[Any]:
        table = sql.Identifier(names.SCHEMA, self._table)
        columns = sql.SQL(", ").join(map(sql.Identifier, rows.schema.names))
        incoming = sql.SQL("CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {} FROM {} LIMIT 0")
        self._connection.execute(incoming.format(columns, table))
        # one order for all writers, so that two with the same events cannot deadlock; offset last,
        # so that of equal keys the message that was read first wins
        order = [(name, "ascending") for name in (*self._key, "source", "kafka_offset")]
        copy(self._connection, "incoming", rows.take(pc.sort_indices(rows, order)), schema=None)
        absent = sql.SQL("NOT EXISTS (SELECT FROM {} AS t WHERE {})").format(
            table,
            sql.SQL(" AND ").join(
                sql.SQL("t.{0} = i.{0}").format(sql.Identifier(name)) for name in self._key
            ),
        )
        insert = sql.SQL(
            "INSERT INTO {} ({}) SELECT * FROM incoming AS i WHERE {} ON CONFLICT DO NOTHING"
            " RETURNING source, kafka_offset"
        )
        missing = sql.SQL("SELECT count(*) FROM incoming AS i WHERE {}").format(absent)
        inserted = self._connection.execute(
            insert.format(table, columns, sql.SQL("true"))
        ).fetchall()
        # rows that were not inserted must exist: TimescaleDB before 2.18.2 ends an INSERT into a
        # compressed chunk at its first conflict (timescaledb #7672)
        while len(inserted) < len(rows) and self._count(missing):
            more = self._connection.execute(insert.format(table, columns, absent)).fetchall()
            if not more:
                raise ServiceError(
                    f"the database skipped {self._count(missing)} rows of table {self._table!r} "
                    "without an error: update TimescaleDB to 2.18.2 or newer"
                )
            inserted += more
        self._connection.execute("DROP TABLE incoming")
        if len(inserted) == len(rows):
            return np.ones(len(rows), dtype=bool)
        return _have_keys(rows, np.array(inserted, dtype=np.int64).reshape(-1, 2))

    def _count(self, query: sql.Composed) -> int:
        row = self._connection.execute(query).fetchone()
        return 0 if row is None else int(row[0])


def _have_keys(rows: pa.RecordBatch, keys: NDArray[Any]) -> NDArray[Any]:
    """Which rows have one of the (source, kafka_offset) keys, int64[k, 2]."""
    pair = np.dtype([("source", np.int64), ("offset", np.int64)])
    searched = np.empty(len(keys), dtype=pair)
    searched["source"], searched["offset"] = keys.T
    row_keys = np.empty(len(rows), dtype=pair)
    row_keys["source"] = rows.column("source").to_numpy()
    row_keys["offset"] = rows.column("kafka_offset").to_numpy()
    return np.isin(row_keys, searched)
