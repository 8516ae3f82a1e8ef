"""Rates and delays as a stranger sees them: from the rows that other connections can read."""

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
_PATIENCE = 300.0  # seconds without the row that is waited for


@dataclass(frozen=True)
class Rate:
    """Rows that became visible, from the first look that saw any to the one that saw the last.

    Attributes:
        events: messages that were settled in that time; rejected ones too.
        seconds: the time.
        cpu: what was used in that time, by all who took part.
    """

    events: int
    seconds: float
    cpu: Cpu

    @property
    def per_second(self) -> float:
        """Events a second."""
        return self.events / self.seconds


class Watched:
    """A variant's table, looked at through a connection of its own.

    Parameters:
        config: with the stack's addresses.
        variant: the model's name.
        alive: whether the one that fills the table still works.
        processes: whose CPU time counts.
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
        """Watch until the last event of each partition is there.

        Parameters:
            last: their times (ms since 1970) and ids.
            events: messages in the topic.
            rows: how many of them must be there then.
        """
        keys = [(datetime.fromtimestamp(at / 1_000, UTC), event_id) for at, event_id in last]
        with self._connection() as connection:
            first, cpu, began = self._begin(connection)
            self._wait(lambda: self._there(connection, keys) == len(keys))
            rate = Rate(events - first, time.perf_counter() - began, self._processes.cpu() - cpu)
            if (found := self._count(connection)) != rows:
                raise RuntimeError(f"{self._variant!r} stored {found} rows of {rows}")
        return rate

    def until_count(self, rows: int) -> Rate:
        """Watch until there are at least that many rows; to count them takes time, so seldom."""
        with self._connection() as connection:
            first, cpu, began = self._begin(connection)
            self._wait(lambda: self._count(connection) >= rows, every=_COUNT_POLL)
            events = self._count(connection) - first
            return Rate(events, time.perf_counter() - began, self._processes.cpu() - cpu)

    def _begin(self, connection: Connection) -> tuple[int, Cpu, float]:
        """Rows, CPU time and clock as soon as there is a row."""
        self._wait(lambda: self._exists(connection))
        first, began = self._count(connection), time.perf_counter()
        return first, self._processes.cpu(), began

    def _connection(self) -> Connection:
        return connect(self._config.local_postgres(), "read", autocommit=True)

    def _wait(self, done: Callable[[], bool], *, every: float = _POLL) -> None:
        until = time.monotonic() + _PATIENCE
        while not done():
            if not self._alive() or time.monotonic() > until:
                raise RuntimeError(f"{self._variant!r} ended or stalled before its last row")
            time.sleep(every)

    def _exists(self, connection: Connection) -> bool:
        return bool(self._one(connection, "SELECT EXISTS (SELECT 1 FROM {})"))

    def _count(self, connection: Connection) -> int:
        return self._one(connection, "SELECT count(*) FROM {}")

    def _there(self, connection: Connection, keys: Sequence[tuple[datetime, str]]) -> int:
        query = "SELECT count(*) FROM {} WHERE event_time = %s AND event_id = %s"
        return sum(self._one(connection, query, *key) for key in keys)

    def _one(self, connection: Connection, query: str, *values: object) -> int:
        row = connection.execute(sql.SQL(query).format(self._table), values).fetchone()
        assert row is not None, "an aggregate gives one row"
        return int(row[0])
