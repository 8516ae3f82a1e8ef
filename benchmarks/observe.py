"""Measures rates as another client sees them: from the rows that its connection can read."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg import sql

from benchmarks.processes import Cpu, Processes
from driftline import names
from driftline.config import Config
from driftline.storage.connection import Connection, connect

_POLL, _COUNT_POLL = 0.02, 0.25  # seconds
_TIMEOUT = 300.0  # seconds to wait for a row


@dataclass(frozen=True)
class Rate:
    """Throughput, from the first poll that finds a row to the poll that finds the last one.

    Attributes:
        events: messages settled in that time, including rejected ones.
        seconds: the time.
        cpu: CPU time used by all processes in that time.
    """

    events: int
    seconds: float
    cpu: Cpu

    @property
    def per_second(self) -> float:
        """Events per second."""
        return self.events / self.seconds


class Observer:
    """Observes a variant's table through a separate connection.

    Parameters:
        config: with the stack's addresses.
        variant: the model's name.
        alive: returns whether the process that fills the table still runs.
        processes: the processes whose CPU time is measured.
    """

    def __init__(
        self, config: Config, variant: str, alive: Callable[[], bool], processes: Processes
    ) -> None:
        self._config = config
        self._variant = variant
        self._alive = alive
        self._processes = processes
        self._table = sql.Identifier(names.SCHEMA, names.prediction_table(variant))

    def until_last(self, last: Sequence[tuple[int, str]], events: int, rows: int) -> Rate:
        """Wait until the last event of each partition is stored.

        Parameters:
            last: times (ms since 1970) and ids of these events.
            events: messages in the topic.
            rows: number of rows that must be stored by then.
        """
        keys = [(datetime.fromtimestamp(at / 1_000, UTC), event_id) for at, event_id in last]
        with self._connection() as connection:
            first, cpu, began = self._begin(connection)
            self._wait(lambda: self._stored(connection, keys) == len(keys))
            rate = Rate(events - first, time.perf_counter() - began, self._processes.cpu() - cpu)
            if (stored := self._count(connection)) != rows:
                raise RuntimeError(f"{self._variant!r} stored {stored} rows instead of {rows}")
        return rate

    def until_count(self, rows: int) -> Rate:
        """Wait until at least this many rows are stored; polls rarely, as counting is slow."""
        with self._connection() as connection:
            first, cpu, began = self._begin(connection)
            self._wait(lambda: self._count(connection) >= rows, interval=_COUNT_POLL)
            events = self._count(connection) - first
            return Rate(events, time.perf_counter() - began, self._processes.cpu() - cpu)

    def _begin(self, connection: Connection) -> tuple[int, Cpu, float]:
        """Wait for the first row; returns the number of rows, CPU time and clock."""
        self._wait(lambda: self._exists(connection))
        first, began = self._count(connection), time.perf_counter()
        return first, self._processes.cpu(), began

    def _connection(self) -> Connection:
        return connect(self._config.local_postgres(), "read", autocommit=True)

    def _wait(self, condition: Callable[[], bool], *, interval: float = _POLL) -> None:
        deadline = time.monotonic() + _TIMEOUT
        while not condition():
            if not self._alive() or time.monotonic() > deadline:
                raise RuntimeError(f"{self._variant!r} exited or stalled before its last row")
            time.sleep(interval)

    def _exists(self, connection: Connection) -> bool:
        return bool(self._integer(connection, "SELECT EXISTS (SELECT 1 FROM {})"))

    def _count(self, connection: Connection) -> int:
        return self._integer(connection, "SELECT count(*) FROM {}")

    def _stored(self, connection: Connection, keys: Sequence[tuple[datetime, str]]) -> int:
        query = "SELECT count(*) FROM {} WHERE event_time = %s AND event_id = %s"
        return sum(self._integer(connection, query, *key) for key in keys)

    def _integer(self, connection: Connection, query: str, *values: object) -> int:
        row = connection.execute(sql.SQL(query).format(self._table), values).fetchone()
        assert row is not None, "an aggregate returns one row"
        return int(row[0])
