"""Runs the statements of panels as role `read`, in read-only transactions."""

import contextlib
import math
import queue
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg

from driftline.config import Postgres
from driftline.errors import DriftlineError
from driftline.storage.connection import Connection, connect

_TIMEOUT = 30  # seconds per statement
_MAX_ROWS = 50_000  # of a result
_OPTIONS = (
    f"-c statement_timeout={_TIMEOUT}s -c default_transaction_read_only=on -c timezone=UTC"
    " -c jit=off"
)


class QueryError(DriftlineError):
    """The database rejected a statement, or took too long."""


@dataclass(frozen=True)
class Answer:
    """The rows of a statement: times as milliseconds since 1970, numbers as floats.

    Attributes:
        kinds: of each column: `time`, `number` or `text`.
    """

    columns: list[str]
    kinds: list[str]
    rows: list[list[Any]]


class Reader:
    """A pool of a few connections.

    Parameters:
        postgres: a section with the address of a server.
        connections: maximum number of concurrent statements.
    """

    def __init__(self, postgres: Postgres, connections: int = 6) -> None:
        self._postgres = postgres
        self._free: queue.LifoQueue[Connection | None] = queue.LifoQueue()
        for _ in range(connections):
            self._free.put(None)

    def run(self, sql: str) -> Answer:
        """All rows of a statement, at most 50,000.

        Raises:
            QueryError: with the message of the database.
            ServiceError: the database is unavailable.
        """
        try:
            with self._connection() as connection, connection.cursor() as cursor:
                # bytes, because psycopg treats % in a str as a placeholder
                cursor.execute(sql.encode())
                description = cursor.description or []
                rows = cursor.fetchmany(_MAX_ROWS)
        except psycopg.errors.QueryCanceled:
            raise QueryError(
                f"the query took more than {_TIMEOUT} s: select a shorter time range"
            ) from None
        except psycopg.Error as error:
            raise QueryError(str(error).strip()) from error
        values = [[_value(value) for value in row] for row in rows]
        kinds = [_kind(column.type_code) for column in description]
        return Answer([column.name for column in description], kinds, values)

    def bytes(self, sql: str, *values: Any) -> bytes | None:
        """The only value of a statement with bound parameters; None without a row."""
        with self._connection() as connection:
            row = connection.execute(sql.encode(), values).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Close all connections."""
        while not self._free.empty():
            connection = self._free.get()
            if connection is not None:
                connection.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        connection = self._free.get()
        try:
            if connection is None or connection.closed:
                connection = connect(self._postgres, "read", autocommit=True, options=_OPTIONS)
            yield connection
        except psycopg.OperationalError:
            if connection is not None:
                connection.close()
            connection = None
            raise
        finally:
            self._free.put(connection)


_TIMES = frozenset((1082, 1114, 1184))
_NUMBERS = frozenset((20, 21, 23, 26, 700, 701, 1700))


def _kind(oid: int) -> str:
    return "time" if oid in _TIMES else "number" if oid in _NUMBERS else "text"


def _value(value: Any) -> Any:
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str | bool) else str(value)
