"""Connections to TimescaleDB: one account per task, and errors that say what to do."""

import re
from datetime import datetime, timedelta
from typing import Any

import psycopg
import sqlalchemy as sa

from driftline.config import Postgres, RoleName
from driftline.errors import ServiceError
from driftline.tls_errors import text_problem

Connection = psycopg.Connection[tuple[Any, ...]]

# A silent peer is dropped after about a minute, so that no client waits for a dead host forever.
_KEEPALIVE = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


_CERTIFICATE_FILE = re.compile(
    r"(root certificate|certificate|private key) file \"[^\"]*\" [^\n]*"
    r"|could not (read|load) (root |private key )?(certificate )?file [^\n]*"
)
_OTHER_HOST = re.compile(r"server certificate for [^\n]* does not match host name \"[^\"]*\"")


def connect(
    postgres: Postgres,
    role: RoleName,
    *,
    lock_timeout: timedelta | None = None,
    autocommit: bool = False,
    **options: Any,
) -> Connection:
    """Open a connection with the account of one role.

    Parameters:
        postgres: a section with a real address: `Config.local_postgres()`.
        role: the job writes, dashboards and monitors read, `migrate` owns the schema.
        lock_timeout: how long a statement waits for a lock before it fails (SQLSTATE 55P03).
        autocommit: every statement is its own transaction.
        options: more libpq parameters, such as `application_name` or `host`.

    Raises:
        ServiceError: the server is down or rejects the account or the database; the message never
            contains the password.
        ConfigError: the password cannot be read.
    """
    parameters = {**_parameters(postgres, role), **options}
    if lock_timeout is not None:
        parameters["options"] = f"-c lock_timeout={int(lock_timeout.total_seconds() * 1000)}"
    try:
        return psycopg.connect(autocommit=autocommit, **parameters)
    except psycopg.OperationalError as error:
        raise ServiceError(_explain(postgres, role, str(error))) from None


def clock(connection: Connection) -> datetime:
    """The database's time, which all processes use."""
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def engine(
    postgres: Postgres, role: RoleName, *, lock_timeout: timedelta | None = None
) -> sa.Engine:
    """A SQLAlchemy engine over `connect`; it keeps no idle connections.

    Raises:
        ServiceError, ConfigError: on the first use, as `connect` does.
    """
    return sa.create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(postgres, role, lock_timeout=lock_timeout),
        poolclass=sa.NullPool,
    )


def driver(connection: sa.Connection) -> Connection:
    """The psycopg connection below a SQLAlchemy connection, in the same transaction."""
    raw: Connection = connection.connection.dbapi_connection  # type: ignore[assignment]
    return raw


def _parameters(postgres: Postgres, role: RoleName) -> dict[str, Any]:
    login = getattr(postgres.roles, role)
    return {
        "host": postgres.host,
        "port": postgres.port,
        "dbname": postgres.database,
        "user": login.user,
        "password": login.password.read() if login.password else None,
        "sslmode": postgres.sslmode,
        "sslrootcert": postgres.sslrootcert,
        "sslcert": postgres.sslcert,
        "sslkey": postgres.sslkey,
        "application_name": f"driftline-{role}",
        **_KEEPALIVE,
    }


def _explain(postgres: Postgres, role: RoleName, reason: str) -> str:
    """libpq reports no SQLSTATE for a failed connection, so the message text decides."""
    server = f"PostgreSQL at '{postgres.host}:{postgres.port}'"
    user = getattr(postgres.roles, role).user
    if (problem := _tls_problem(reason)) is not None:
        return f"can't connect to {server}: {problem}"
    if "password" in reason or f'role "{user}" does not exist' in reason:
        return (
            f"{server} rejects the account {user!r}: check postgres.roles.{role} (user, password)"
        )
    if f'database "{postgres.database}" does not exist' in reason:
        return f"{server} has no database {postgres.database!r}: create it or set postgres.database"
    lines = dict.fromkeys(line.strip() for line in reason.splitlines() if line.strip())
    return (
        f"can't connect to {server}: {'; '.join(lines)}: check that it is running "
        "('driftline up' starts a local one) and postgres.host, port and sslmode"
    )


def _tls_problem(reason: str) -> str | None:
    if match := _CERTIFICATE_FILE.search(reason):
        return f"{match[0]}: see postgres.sslrootcert, sslcert and sslkey"
    if match := _OTHER_HOST.search(reason):
        return f"{match[0]}: set postgres.host to the name in the certificate"
    if "server does not support SSL" in reason:
        return "it does not support TLS, which postgres.sslmode requires: enable it on the server"
    return text_problem(reason, "postgres.sslrootcert")
