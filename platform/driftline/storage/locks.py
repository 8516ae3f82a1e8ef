"""Named locks, as rows of the table `lock`.

Any role may take any advisory lock, so a read-only role could block everything that one guards. A
row can be locked only by a role that may UPDATE its table. There are two kinds:

- A *transaction lock* is `SELECT ... FOR UPDATE` on its row; it ends with the transaction. No
  foreign key points to the table, so FOR UPDATE blocks nobody but others who want the lock.
- A *session lock* outlives transactions: its row names the session that owns it, and is valid while
  the server lists that session. A lost connection releases the lock. An open transaction
  would do the same, but would keep VACUUM from removing any row while the lock is held, and could
  not commit intermediate results.
"""

import contextlib
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Literal

import psycopg

from driftline.errors import ServiceError
from driftline.storage import blockers
from driftline.storage.connection import Connection

Kind = Literal[
    "canary", "compact ledger", "compact profiles", "grafana", "promotion", "round", "runner"
]

_POLL = 0.1  # seconds between two attempts to get a session lock

# How the server identifies this session. pids are reused, so the start time is part of it.
BACKEND = """SELECT pid, usesysid, backend_start FROM pg_stat_activity
              WHERE pid = pg_backend_pid()"""


def is_connected(table: Literal["lock", "runner"]) -> str:
    """SQL condition: the session named by a row of the table still exists.

    Every role sees pid and role of all sessions, but the start only of its own role's sessions:
    where it is hidden, pid and role decide, so that a lock never has two owners.
    """
    return f"""EXISTS (
        SELECT FROM pg_stat_activity AS session
         WHERE session.pid = {table}.backend_pid AND session.usesysid = {table}.backend_user
           AND coalesce(session.backend_start = {table}.backend_start, true))"""


_ADD = "INSERT INTO driftline.lock (kind, key) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_LOCK = "SELECT FROM driftline.lock WHERE kind = %s AND key = %s FOR UPDATE"
_TRY = f"{_LOCK} SKIP LOCKED"

# The condition is evaluated after the row is locked, so it sees the latest owner.
_ACQUIRE = f"""
    INSERT INTO driftline.lock (kind, key, backend_pid, backend_user, backend_start)
    VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (kind, key) DO UPDATE
      SET backend_pid = excluded.backend_pid, backend_user = excluded.backend_user,
          backend_start = excluded.backend_start
    WHERE NOT {is_connected("lock")}
    RETURNING true"""  # noqa: S608 - a constant


@contextlib.contextmanager
def transaction(connection: Connection, kind: Kind, key: str) -> Iterator[None]:
    """A transaction that holds a lock; waits until it is free.

    Parameters:
        connection: as role `write`, in no transaction.

    Raises:
        psycopg.errors.LockNotAvailable: the wait exceeded the connection's lock_timeout.
    """
    _add(connection, kind, key)
    with connection.transaction():
        if not connection.execute(_LOCK, (kind, key)).fetchall():
            raise ServiceError(f"the row of lock {kind} {key!r} was deleted: try again")
        yield


@contextlib.contextmanager
def try_transaction(connection: Connection, kind: Kind, key: str) -> Iterator[bool]:
    """A transaction that holds a lock if it is free; yields whether it does."""
    _add(connection, kind, key)
    with connection.transaction():
        yield bool(connection.execute(_TRY, (kind, key)).fetchall())


@contextlib.contextmanager
def session(
    connection: Connection, kind: Kind, key: str, patience: timedelta | None = None
) -> Iterator[None]:
    """Hold a lock over any number of transactions of the connection.

    Parameters:
        connection: as role `write`, in no transaction. Everything that the lock guards must be
            written through it: losing the connection loses the lock.
        patience: how long to wait; default: until the lock is free.

    Raises:
        ServiceError: another session still holds it after that time.
    """
    started = time.monotonic()
    while not acquire(connection, kind, key):
        if patience is not None and time.monotonic() - started > patience.total_seconds():
            raise ServiceError(
                f"waited {patience.total_seconds():g} s for lock {kind!r} of {key!r}, held by "
                f"{_owner(connection, kind, key)}: try again, or terminate that session"
            )
        time.sleep(_POLL)
    try:
        yield
    finally:
        with contextlib.suppress(psycopg.Error):  # a lost connection has released the lock
            release(connection, kind, key)


def acquire(connection: Connection, kind: Kind, key: str) -> bool:
    """Acquire a session lock unless another session, or this one, holds it.

    Parameters:
        connection: as role `write`, in no transaction: within a transaction the server's list of
            sessions does not change, and it must be read after the row is locked.
    """
    with connection.transaction():
        backend = connection.execute(BACKEND).fetchone()
    assert backend is not None
    with connection.transaction():
        return connection.execute(_ACQUIRE, (kind, key, *backend)).fetchone() is not None


def release(connection: Connection, kind: Kind, key: str) -> None:
    """Release a session lock of this connection."""
    with connection.transaction():
        connection.execute(
            "DELETE FROM driftline.lock"
            " WHERE kind = %s AND key = %s AND backend_pid = pg_backend_pid()",
            (kind, key),
        )


def _add(connection: Connection, kind: Kind, key: str) -> None:
    """In its own transaction: others wait for the row until it ends."""
    with connection.transaction():
        connection.execute(_ADD, (kind, key))


def _owner(connection: Connection, kind: Kind, key: str) -> str:
    with connection.transaction():
        row = connection.execute(
            "SELECT backend_pid FROM driftline.lock WHERE kind = %s AND key = %s", (kind, key)
        ).fetchone()
    return blockers.describe(connection, [] if row is None else [row[0]])
