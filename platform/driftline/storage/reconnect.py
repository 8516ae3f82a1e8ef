"""Writing to a database that may be unavailable: wait, reconnect, retry.

While the database is down the batch waits here, so back-pressure stops the reading and nothing is
dropped. The ledger makes it safe to repeat a write whose outcome is unknown.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Generic, TypeVar

import psycopg
from tenacity import (
    Retrying,
    before_sleep_log,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from driftline.config import Postgres
from driftline.errors import ServiceError
from driftline.storage.connection import Connection, connect

GIVE_UP = timedelta(minutes=10)
LOCK_TIMEOUT = timedelta(seconds=30)  # keepalives end a dead client's transaction

# Worth a retry: a connection lost at any point (even at COMMIT), a deadlock, a serialization
# failure, a lock timeout, a server that is starting up.
TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError, ServiceError)

W = TypeVar("W")
T = TypeVar("T")

log = logging.getLogger(__name__)


class Reconnecting(Generic[W]):
    """A writer over a connection as role `write`, created again when the connection is lost.

    Parameters:
        postgres: with a real address: `Config.local_postgres()`.
        make: creates the writer for a connection.
    """

    def __init__(self, postgres: Postgres, make: Callable[[Connection], W]) -> None:
        self._postgres = postgres
        self._make = make
        self._connection: Connection | None = None
        self._writer: W | None = None

    def call(self, write: Callable[[W], T]) -> T:
        """Call `write` until it succeeds; it must be idempotent.

        Raises:
            psycopg.OperationalError, ServiceError: still failing after `GIVE_UP`.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(TRANSIENT),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            stop=stop_after_delay(GIVE_UP),
            before_sleep=before_sleep_log(log, logging.WARNING),
            reraise=True,
        )
        result: T = retrying(self._call_once, write)
        return result

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._writer = None

    def _call_once(self, write: Callable[[W], T]) -> T:
        try:
            if self._writer is None:
                self._connection = connect(self._postgres, "write", lock_timeout=LOCK_TIMEOUT)
                self._writer = self._make(self._connection)
            return write(self._writer)
        except TRANSIENT:
            self.close()
            raise
