"""The state that driftline last applied to a Grafana, and digests of the secrets in it."""

import hashlib
import hmac
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from psycopg.types.json import Jsonb

from driftline.storage import locks
from driftline.storage.connection import Connection

Key = tuple[str, str]  # kind and uid


@dataclass(frozen=True)
class Applied:
    """One object as last applied; `pending` was sent, with unknown outcome."""

    applied: dict[str, Any] | None
    pending: dict[str, Any] | None = None
    secrets: Mapping[str, tuple[bytes, bytes]] = field(default_factory=dict, repr=False)


class GrafanaState:
    """The stored state of one server and organisation.

    Every change is its own transaction, so that a crash leaves at most one object in doubt.

    Parameters:
        connection: as role `write`, in autocommit.
        server: the address, which identifies the Grafana; a trailing slash is ignored.
        org: the organisation there.
        key: of the digests; without it, nobody who reads the table can test passwords.
    """

    def __init__(self, connection: Connection, server: str, org: int, key: str) -> None:
        self._connection = connection
        self._grafana = (_stored_address(connection, server, org), org)
        self._key = key.encode()
        # a transaction belongs to the connection: other threads' statements must stay out of it
        self._lock = threading.Lock()

    @contextmanager
    def locked(self, patience: timedelta | None = None) -> Iterator[None]:
        """Let nobody else apply to this Grafana; waits up to `patience` for another process."""
        name = f"{self._grafana[0]} {self._grafana[1]}"
        with locks.session(self._connection, "grafana", name, patience):
            yield

    def load(self) -> dict[Key, Applied]:
        """All applied objects."""
        secrets: dict[Key, dict[str, tuple[bytes, bytes]]] = {}
        for kind, uid, setting, salt, digest in self._connection.execute(
            "SELECT kind, uid, setting, salt, digest FROM driftline.grafana_secret"
            " WHERE server = %s AND org = %s",
            self._grafana,
        ):
            secrets.setdefault((kind, uid), {})[setting] = (bytes(salt), bytes(digest))
        return {
            (kind, uid): Applied(applied, pending, secrets.get((kind, uid), {}))
            for kind, uid, applied, pending in self._connection.execute(
                "SELECT kind, uid, applied, pending FROM driftline.grafana_object"
                " WHERE server = %s AND org = %s",
                self._grafana,
            )
        }

    def intend(self, key: Key, content: dict[str, Any]) -> None:
        """Record what is about to be sent."""
        with self._lock:
            self._connection.execute(
                "INSERT INTO driftline.grafana_object (server, org, kind, uid, pending)"
                " VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (server, org, kind, uid) DO UPDATE SET pending = excluded.pending",
                (*self._grafana, *key, Jsonb(content)),
            )

    def record(self, key: Key, content: dict[str, Any], secrets: Mapping[str, str]) -> None:
        """Record what was applied, with digests of its secrets."""
        with self._lock, self._connection.transaction():
            self._connection.execute(
                "INSERT INTO driftline.grafana_object (server, org, kind, uid, applied)"
                " VALUES (%s, %s, %s, %s, %s)"
                " ON CONFLICT (server, org, kind, uid) DO UPDATE SET"
                " applied = excluded.applied, pending = NULL, applied_at = clock_timestamp()",
                (*self._grafana, *key, Jsonb(content)),
            )
            self._forget_secrets(key)
            for setting, value in secrets.items():
                salt = os.urandom(16)
                self._connection.execute(
                    "INSERT INTO driftline.grafana_secret"
                    " (server, org, kind, uid, setting, salt, digest)"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                    (*self._grafana, *key, setting, salt, self._digest(salt, value)),
                )

    def forget(self, key: Key) -> None:
        """Record that an object was deleted."""
        with self._lock, self._connection.transaction():
            self._forget_secrets(key)
            self._connection.execute(
                "DELETE FROM driftline.grafana_object"
                " WHERE server = %s AND org = %s AND kind = %s AND uid = %s",
                (*self._grafana, *key),
            )

    def changed_secrets(self, last: Applied | None, secrets: Mapping[str, str]) -> set[str]:
        """The settings whose secret is new, removed or different from the last applied one."""
        applied = last.secrets if last else {}
        unchanged = {
            setting
            for setting, value in secrets.items()
            if setting in applied
            and hmac.compare_digest(self._digest(applied[setting][0], value), applied[setting][1])
        }
        return {*secrets, *applied} - unchanged

    def _digest(self, salt: bytes, value: str) -> bytes:
        return hmac.new(self._key, salt + value.encode(), hashlib.sha256).digest()

    def _forget_secrets(self, key: Key) -> None:
        self._connection.execute(
            "DELETE FROM driftline.grafana_secret"
            " WHERE server = %s AND org = %s AND kind = %s AND uid = %s",
            (*self._grafana, *key),
        )


def _stored_address(connection: Connection, server: str, org: int) -> str:
    """The address as stored: earlier versions kept a trailing slash."""
    plain = server.rstrip("/")
    row = connection.execute(
        "SELECT server FROM driftline.grafana_object"
        " WHERE rtrim(server, '/') = %s AND org = %s ORDER BY applied_at DESC LIMIT 1",
        (plain, org),
    ).fetchone()
    return str(row[0]) if row else plain
