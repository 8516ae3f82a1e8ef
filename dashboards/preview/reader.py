"""Statements of panels, run by the role that may only read, in a transaction that may only read."""

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

_PATIENCE = 30  # seconds a statement
_ROWS = 50_000  # of an answer, at most
_OPTIONS = (
    f"-c statement_timeout={_PATIENCE}s -c default_transaction_read_only=on -c timezone=UTC"
    " -c jit=off"
)


class QueryError(DriftlineError):
    """The database refused a statement, or took too long."""


@dataclass(frozen=True)
class Answer:
    """Rows of a statement: times as milliseconds since 1970, numbers as floats.

    Attributes:
        kinds: `time`, `number` or `text` of each column.
    """

    columns: list[str]
    kinds: list[str]
    rows: list[list[Any]]


class Reader:
    """A few connections that are used again.

    Parameters:
        postgres: a section with a real address.
        connections: statements at a time.
    """

    def __init__(self, postgres: Postgres, connections: int = 6) -> None:
        self._postgres = postgres
        self._free: queue.LifoQueue[Connection | None] = queue.LifoQueue()
        for _ in range(connections):
            self._free.put(None)

    def run(self, sql: str) -> Answer:
        """All rows of one statement, 50,000 at most.

        Raises:
            QueryError: with the database's own words.
            ServiceError: the database is away.
        """
        try:
            with self._connection() as connection, connection.cursor() as cursor:
                # bytes: psycopg would take % for a placeholder in what looks like a template
                cursor.execute(sql.encode())
                described = cursor.description or []
                rows = cursor.fetchmany(_ROWS)
        except psycopg.errors.QueryCanceled:
            raise QueryError(
                f"the query took more than {_PATIENCE} s: choose a shorter range"
            ) from None
        except psycopg.Error as error:
            raise QueryError(str(error).strip()) from error
        values = [[_value(value) for value in row] for row in rows]
        kinds = [_kind(column.type_code) for column in described]
        return Answer([column.name for column in described], kinds, values)

    def bytes(self, sql: str, *values: Any) -> bytes | None:
        """The one value of a statement with bound parameters; None without a row."""
        with self._connection() as connection:
            row = connection.execute(sql.encode(), values).fetchone()
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Close what is open."""
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
