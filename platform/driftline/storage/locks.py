"""Locks with names, as rows of the table `lock`.

Any role may take any advisory lock, so a role that can only read could stall everything that is
guarded by one. A row can be locked only by a role that may UPDATE its table. There are two kinds:

- A *transaction lock* is `SELECT ... FOR UPDATE` of its row; it ends with the transaction. No
  foreign key points to the table, so FOR UPDATE has nobody to disturb but other takers.
- A *session lock* outlives transactions: its row names the session that owns it, and counts for as
  long as the server lists that session. Whoever loses the connection loses the lock with it, and a
  lost lock is free at once. An open transaction would do the same, but would keep VACUUM from
  removing any row for as long as the lock is held, and could not commit what was done meanwhile.
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

_POLL = 0.1  # seconds between two tries to get a session lock

# What the server reports of this session. pids are used again, so the time is part of it.
BACKEND = """SELECT pid, usesysid, backend_start FROM pg_stat_activity
              WHERE pid = pg_backend_pid()"""


def is_connected(table: Literal["lock", "runner"]) -> str:
    """The SQL condition that the session which a row of a table names still exists.

    Every role sees pid and role of all sessions, the start only of those of its own role: where it
    is hidden, pid and role decide, so that a lock never has two owners.
    """
    return f"""EXISTS (
        SELECT FROM pg_stat_activity AS session
         WHERE session.pid = {table}.backend_pid AND session.usesysid = {table}.backend_user
           AND coalesce(session.backend_start = {table}.backend_start, true))"""


_ADD = "INSERT INTO driftline.lock (kind, key) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_LOCK = "SELECT FROM driftline.lock WHERE kind = %s AND key = %s FOR UPDATE"
_TRY = f"{_LOCK} SKIP LOCKED"

# The condition is evaluated after the row is locked, so that it sees the last owner.
_TAKE = f"""
    INSERT INTO driftline.lock (kind, key, backend_pid, backend_user, backend_start)
    VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (kind, key) DO UPDATE
      SET backend_pid = excluded.backend_pid, backend_user = excluded.backend_user,
          backend_start = excluded.backend_start
    WHERE NOT {is_connected("lock")}
    RETURNING true"""  # noqa: S608 - a constant


@contextlib.contextmanager
def transaction(connection: Connection, kind: Kind, key: str) -> Iterator[None]:
    """A transaction that has a lock; waits for whoever has it.

    Parameters:
        connection: as role `write`, in no transaction.

    Raises:
        psycopg.errors.LockNotAvailable: it waited for longer than the connection's lock_timeout.
    """
    _add(connection, kind, key)
    with connection.transaction():
        if not connection.execute(_LOCK, (kind, key)).fetchall():
            raise ServiceError(f"the row of lock {kind} {key!r} was deleted: try again")
        yield


@contextlib.contextmanager
def try_transaction(connection: Connection, kind: Kind, key: str) -> Iterator[bool]:
    """A transaction that has a lock, if it is free; gives whether it is."""
    _add(connection, kind, key)
    with connection.transaction():
        yield bool(connection.execute(_TRY, (kind, key)).fetchall())


@contextlib.contextmanager
def session(
    connection: Connection, kind: Kind, key: str, patience: timedelta | None = None
) -> Iterator[None]:
    """Have a lock for a while, over any number of transactions of the connection.

    Parameters:
        connection: as role `write`, in no transaction. All that the lock guards must be written
            through it: who has lost the connection has lost the lock.
        patience: how long to wait; default: until it is free.

    Raises:
        ServiceError: somebody else has it for longer than that.
    """
    started = time.monotonic()
    while not take(connection, kind, key):
        if patience is not None and time.monotonic() - started > patience.total_seconds():
            raise ServiceError(
                f"waited {patience.total_seconds():g} s for lock {kind!r} of {key!r}, which "
                f"{_owner(connection, kind, key)} holds: try again, or end that session"
            )
        time.sleep(_POLL)
    try:
        yield
    finally:
        with contextlib.suppress(psycopg.Error):  # a lost connection has released it
            release(connection, kind, key)


def take(connection: Connection, kind: Kind, key: str) -> bool:
    """Take a session lock unless another session, or this one, has it.

    Parameters:
        connection: as role `write`, in no transaction: the server shows a transaction the same
            sessions until its end, and they must be looked up after the row is locked.
    """
    with connection.transaction():
        backend = connection.execute(BACKEND).fetchone()
    assert backend is not None
    with connection.transaction():
        return connection.execute(_TAKE, (kind, key, *backend)).fetchone() is not None


def release(connection: Connection, kind: Kind, key: str) -> None:
    """Release a session lock of this connection."""
    with connection.transaction():
        connection.execute(
            "DELETE FROM driftline.lock"
            " WHERE kind = %s AND key = %s AND backend_pid = pg_backend_pid()",
            (kind, key),
        )


def _add(connection: Connection, kind: Kind, key: str) -> None:
    """In a transaction of its own: until its end, others would wait for the row."""
    with connection.transaction():
        connection.execute(_ADD, (kind, key))


def _owner(connection: Connection, kind: Kind, key: str) -> str:
    with connection.transaction():
        row = connection.execute(
            "SELECT backend_pid FROM driftline.lock WHERE kind = %s AND key = %s", (kind, key)
        ).fetchone()
    return blockers.describe(connection, [] if row is None else [row[0]])
