"""Which session blocks a statement that waits for a lock."""

import contextlib
import threading
from collections.abc import Iterator, Sequence

import psycopg
import sqlalchemy as sa

from driftline.config import Postgres, RoleName
from driftline.errors import DriftlineError, ServiceError
from driftline.storage.connection import Connection, connect
from driftline.storage.reconnect import LOCK_TIMEOUT

_INTERVAL = 0.5  # seconds between two queries for the blocking sessions
_UNKNOWN = "a session that has since ended"

# Never the session's query: it may hold values. Without pg_read_all_stats a role sees pid, role
# and application of other roles' sessions; the rest is null.
_SESSIONS = """
    SELECT pid, usename, application_name, host(client_addr), state, xact_start
      FROM pg_stat_activity WHERE pid = ANY(%s) ORDER BY xact_start NULLS LAST, pid"""


@contextlib.contextmanager
def connect_with_lock_timeout(postgres: Postgres, role: RoleName) -> Iterator[Connection]:
    """An autocommit connection that waits at most 30 s for a lock; see `name_blockers`.

    Raises:
        ServiceError: the wait timed out, or the database is unavailable.
    """
    with (
        connect(postgres, role, lock_timeout=LOCK_TIMEOUT, autocommit=True) as connection,
        name_blockers(postgres, role, connection, ServiceError),
    ):
        yield connection


@contextlib.contextmanager
def name_blockers(
    postgres: Postgres, role: RoleName, connection: Connection, error: type[DriftlineError]
) -> Iterator[None]:
    """Name the blocking session when a statement exceeds the connection's lock_timeout.

    PostgreSQL only reports the timeout, and the blocker can be queried only while it blocks: by a
    second connection, which is opened if the work takes longer than a moment.

    Parameters:
        connection: its statements may wait; opened with the account of `role`.
        error: raised instead of PostgreSQL's error.

    Raises:
        DriftlineError: `error`, a statement waited longer than lock_timeout.
    """
    watcher = _BlockerWatcher(postgres, role, connection.info.backend_pid)
    watcher.start()
    try:
        yield
    except (psycopg.errors.LockNotAvailable, sa.exc.OperationalError) as cause:
        if not isinstance(getattr(cause, "orig", cause), psycopg.errors.LockNotAvailable):
            raise
        raise error(
            f"a table is in use by {watcher.last or _UNKNOWN}: the statement changed nothing; "
            "run the command again when that transaction has ended, or terminate its session "
            "(SELECT pg_terminate_backend(PID), as its role or an administrator)"
        ) from None
    finally:
        watcher.stop()


def describe(connection: Connection, pids: Sequence[int]) -> str:
    """The sessions with these pids as text, as far as the role may see them."""
    if 0 in pids:
        return "a prepared transaction (see pg_prepared_xacts)"
    sessions = connection.execute(_SESSIONS, [list(pids)]).fetchall() if pids else []
    return "; ".join(_sentence(*row) for row in sessions) or _UNKNOWN


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
    description = ", ".join(filter(None, details))
    return f"session {pid} of role {user!r}" + (f" ({description})" if description else "")


class _BlockerWatcher(threading.Thread):
    """Polls which sessions block a session, until it is stopped.

    Attributes:
        last: the last blocker seen; "" if there was none so far.
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
        # if this query fails, the lock error is still raised, without the blocker's name
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
