"""Which session holds up a statement that waits for a lock."""

import contextlib
import threading
from collections.abc import Iterator, Sequence

import psycopg
import sqlalchemy as sa

from driftline.config import Postgres, RoleName
from driftline.errors import DriftlineError, ServiceError
from driftline.storage.connection import Connection, connect
from driftline.storage.reconnect import LOCK_TIMEOUT

_INTERVAL = 0.5  # seconds between two looks at who blocks
_UNKNOWN = "a session that has ended since"

# Never the session's query: it may hold values. Without pg_read_all_stats a role sees pid, role
# and application of other roles' sessions; the rest is null.
_SESSIONS = """
    SELECT pid, usename, application_name, host(client_addr), state, xact_start
      FROM pg_stat_activity WHERE pid = ANY(%s) ORDER BY xact_start NULLS LAST, pid"""


@contextlib.contextmanager
def patient(postgres: Postgres, role: RoleName) -> Iterator[Connection]:
    """A connection in autocommit that waits for a lock for 30 s at most; see `named`.

    Raises:
        ServiceError: it waited for longer, or the database is unavailable.
    """
    with (
        connect(postgres, role, lock_timeout=LOCK_TIMEOUT, autocommit=True) as connection,
        named(postgres, role, connection, ServiceError),
    ):
        yield connection


@contextlib.contextmanager
def named(
    postgres: Postgres, role: RoleName, connection: Connection, error: type[DriftlineError]
) -> Iterator[None]:
    """Name the session that blocks, when a statement runs into the connection's lock_timeout.

    PostgreSQL says only that the time is over, and who blocked can be asked only meanwhile: it is
    asked over a second connection, which is opened when the work takes longer than a moment.

    Parameters:
        connection: whose statements may wait; opened with the account of `role`.
        error: what to raise instead of PostgreSQL's error.

    Raises:
        DriftlineError: `error`, a statement waited for longer than lock_timeout.
    """
    watch = _Watch(postgres, role, connection.info.backend_pid)
    watch.start()
    try:
        yield
    except (psycopg.errors.LockNotAvailable, sa.exc.OperationalError) as cause:
        if not isinstance(getattr(cause, "orig", cause), psycopg.errors.LockNotAvailable):
            raise
        raise error(
            f"a table is in use by {watch.last or _UNKNOWN}: nothing was changed by the statement "
            "that waited; run it again when that transaction has ended, or end its session "
            "(SELECT pg_terminate_backend(PID), as its role or an administrator)"
        ) from None
    finally:
        watch.stop()


def describe(connection: Connection, pids: Sequence[int]) -> str:
    """The sessions of some pids as text, without what the role may not see."""
    if 0 in pids:
        return "a prepared transaction (see pg_prepared_xacts)"
    found = connection.execute(_SESSIONS, [list(pids)]).fetchall() if pids else []
    return "; ".join(_sentence(*row) for row in found) or _UNKNOWN


def _sentence(  # noqa: PLR0917 - the columns of one row
    pid: int,
    user: str | None,
    application: str | None,
    host: str | None,
    state: str | None,
    since: object,
) -> str:
    details = [
        f"application {application!r}" if application else "",
        f"from {host}" if host else "",
        f"in a transaction since {since:%Y-%m-%d %H:%M:%S %Z}" if since else "",
        state or "",
    ]
    known = ", ".join(filter(None, details))
    return f"session {pid} of role {user!r}" + (f" ({known})" if known else "")


class _Watch(threading.Thread):
    """Asks again and again who blocks a session, until it is stopped.

    Attributes:
        last: the last one that was seen; "" while there was none.
    """

    def __init__(self, postgres: Postgres, role: RoleName, pid: int) -> None:
        super().__init__(name="blockers", daemon=True)
        self._postgres = postgres
        self._role = role
        self._pid = pid
        self._stop_event = threading.Event()
        self.last = ""

    def run(self) -> None:
        if self._stop_event.wait(_INTERVAL):
            return
        # without an answer the error has no name in it, which must not hide the error itself
        with (
            contextlib.suppress(psycopg.Error, DriftlineError),
            connect(self._postgres, self._role, autocommit=True) as connection,
        ):
            while True:
                pids = connection.execute("SELECT pg_blocking_pids(%s)", [self._pid]).fetchone()
                if pids and pids[0]:
                    self.last = describe(connection, pids[0])
                if self._stop_event.wait(_INTERVAL):
                    return

    def stop(self) -> None:
        self._stop_event.set()
        self.join()
