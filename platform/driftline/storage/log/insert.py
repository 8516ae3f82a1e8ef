"""Inserting rows of which some may be there already."""

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

# After a conflict the next ones are likely: a failed plain COPY costs more than a careful one.
CAREFUL_BATCHES = 64


class Inserter:
    """Inserts batches into one table; the row that came first stays.

    Plain COPY while nothing conflicts; COPY to a temporary table and ON CONFLICT DO NOTHING after
    a conflict. A row that is not inserted is seen to be there, whatever the server does.

    Parameters:
        connection: as role `write`.
        table: in driftline's schema; it has the columns source and kafka_offset.
        key: the columns of its unique key.
    """

    def __init__(self, connection: Connection, table: str, key: tuple[str, ...]) -> None:
        self._connection = connection
        self._table = table
        self._key = key
        self._careful = 0

    def insert(self, rows: pa.RecordBatch) -> NDArray[Any]:
        """Insert the rows whose key is not there yet; tells which were, bool[n]."""
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
        # one order for all writers: two with the same events wait for each other, not in a ring;
        # by offset last, so that the first of equals is the one that was read first
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
        # what was not inserted must be there: TimescaleDB before 2.18.2 ends an INSERT into a
        # compressed chunk at its first conflict (timescaledb #7672)
        while len(inserted) < len(rows) and self._count(missing):
            more = self._connection.execute(insert.format(table, columns, absent)).fetchall()
            if not more:
                raise ServiceError(
                    f"{self._count(missing)} rows were left out of the table {self._table!r} by "
                    "the database, without an error: update TimescaleDB to 2.18.2 or newer"
                )
            inserted += more
        self._connection.execute("DROP TABLE incoming")
        if len(inserted) == len(rows):
            return np.ones(len(rows), dtype=bool)
        return _among(rows, np.array(inserted, dtype=np.int64).reshape(-1, 2))

    def _count(self, query: sql.Composed) -> int:
        row = self._connection.execute(query).fetchone()
        return 0 if row is None else int(row[0])


def _among(rows: pa.RecordBatch, keys: NDArray[Any]) -> NDArray[Any]:
    """Which rows have their (source, kafka_offset) among the keys, int64[k, 2]."""
    pair = np.dtype([("source", np.int64), ("offset", np.int64)])
    wanted = np.empty(len(keys), dtype=pair)
    wanted["source"], wanted["offset"] = keys.T
    mine = np.empty(len(rows), dtype=pair)
    mine["source"] = rows.column("source").to_numpy()
    mine["offset"] = rows.column("kafka_offset").to_numpy()
    return np.isin(mine, wanted)
