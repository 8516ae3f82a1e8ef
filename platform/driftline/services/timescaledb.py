"""PostgreSQL with TimescaleDB, from Debian's packages.

PostgreSQL refuses to run as root; for root it runs as an ordinary user. That user cannot enter
parent folders such as root's home on the way to its data; so the server is started inside its data
folder and addresses it as /proc/self/cwd.
"""

import contextlib
import os
import pwd
import shutil
import signal
import time
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from driftline.environment import without_secrets
from driftline.errors import ServiceError
from driftline.private_files import private_folder, write_private
from driftline.services import postgres_tree
from driftline.services.cache import Say
from driftline.services.files import (
    password,
    require_password,
    require_space,
)
from driftline.services.ports import LOOPBACK
from driftline.services.process import Account, Command
from driftline.services.public_rights import REVOKE
from driftline.services.run import run
from driftline.services.service import Place

DATABASE = "driftline"
SUPERUSER = "postgres"
ROLES = {name: f"driftline_{name}" for name in ("migrate", "write", "read")}

_CWD = "/proc/self/cwd"
_SETTINGS = """\
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
cluster_name = 'driftline'
max_connections = 100
shared_buffers = 256MB
wal_compression = lz4
max_wal_size = 4GB
fsync = on
synchronous_commit = on
jit = off
timezone = 'GMT'
log_timezone = 'GMT'
datestyle = 'iso, mdy'
lc_messages = 'C'
log_line_prefix = '%m [%p] %q%u@%d '
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
"""
_ACCESS = f"host all all {LOOPBACK}/32 scram-sha-256\n"


class TimescaleDB:
    """One PostgreSQL cluster with the database `driftline` and its three login roles."""

    name = "timescaledb"
    section = "postgres"
    port_names: tuple[str, ...] = ("timescaledb",)
    stop_signal: signal.Signals = signal.SIGINT  # PostgreSQL's fast shutdown
    start_seconds = 90.0

    def prepare(self, place: Place, say: Say) -> None:
        """Fetch the programs and create the cluster, if not done before."""
        data = place.folder / "data"
        require_password(_password_file(place, "superuser"), data)
        tree = postgres_tree.fetch(say)
        if not (data / "PG_VERSION").exists():
            require_space(place.folder, 500, "a new TimescaleDB cluster")
            say("creating the TimescaleDB cluster")
            _initdb(tree, place, data)
        _clear_lock(data)
        account = _account(data)
        settings = _SETTINGS.format(host=LOOPBACK, port=place.ports["timescaledb"])
        _write(data / "postgresql.conf", settings, account)
        _write(data / "pg_hba.conf", _ACCESS, account)

    def command(self, place: Place) -> Command:
        """The server, started inside its data folder."""
        return Command(
            argv=[str(postgres_tree.programs(postgres_tree.location()) / "postgres"), "-D", _CWD],
            cwd=place.folder / "data",
            env={"LC_ALL": "C", "PGTZ": "GMT"},
            account=_account(place.folder / "data"),
        )

    def ping(self, place: Place) -> str:
        """`SELECT 1` and the versions, as the superuser."""
        with _connect(place, "postgres") as connection:
            row = connection.execute(
                "SELECT current_setting('server_version'), default_version"
                " FROM pg_available_extensions WHERE name = 'timescaledb'"
            ).fetchone()
        if row is None:
            raise ServiceError("this PostgreSQL has no TimescaleDB extension")
        return f"{row[1]} (PostgreSQL {row[0].split()[0]})"

    def settle(self, place: Place) -> None:
        """Create database, roles and extension if they are missing."""
        with _connect(place, "postgres") as connection:
            for name, user in ROLES.items():
                _ensure_role(connection, user, password(_password_file(place, name)))
            _limit_roles(connection)
            _ensure_database(connection)
        with _connect(place, DATABASE) as connection:
            _ensure_extension(connection)
            connection.execute(REVOKE)  # again after an update, which may add functions

    def address(self, place: Place) -> dict[str, Any]:
        """Host, port, database, and user and password file of each role."""
        roles = {
            name: {"user": user, "password_file": str(_password_file(place, name))}
            for name, user in ROLES.items()
        }
        return {
            "host": LOOPBACK,
            "port": place.ports["timescaledb"],
            "database": DATABASE,
            "roles": roles,
        }


def ordinary_account() -> Account | None:
    """The user to run PostgreSQL as when we are root; None when we are not.

    Raises:
        ServiceError: we are root, and the machine has neither `postgres` nor `nobody`.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise ServiceError(
        "can't run PostgreSQL as root, and there is no user 'postgres' or 'nobody' to run it as"
        " (create one with `adduser --system postgres`)"
    )


def _initdb(tree: Path, place: Place, data: Path) -> None:
    account = ordinary_account()
    shutil.rmtree(data, ignore_errors=True)  # what an interrupted initdb left
    for folder in (private_folder(place.folder), private_folder(data)):
        _give(folder, account)
    secret = place.folder / "password"
    _write(secret, password(_password_file(place, "superuser")) + "\n", account)
    try:
        run(
            [
                str(postgres_tree.programs(tree) / "initdb"),
                *("-D", _CWD, "-U", SUPERUSER, "--pwfile=../password", "--auth=scram-sha-256"),
                *("-E", "UTF8", "--locale=C", "--locale-provider=builtin"),
                "--builtin-locale=C.UTF-8",
            ],
            "can't create the TimescaleDB cluster",
            cwd=data,
            env={**without_secrets(os.environ), "LC_ALL": "C"},
            account=account,
        )
    finally:
        secret.unlink()


def _account(data: Path) -> Account | None:
    """The account of the server; for root the owner of existing data."""
    account = ordinary_account()
    owner = data.stat()
    return Account(owner.st_uid, owner.st_gid) if account and owner.st_uid != 0 else account


def _clear_lock(data: Path) -> None:
    """Remove the lock file of a killed server, once all its processes have ended.

    The server's children end by themselves shortly after it. Its lock file names a pid that may
    still be a zombie or may have been reused; PostgreSQL would refuse to start.
    """
    lock = data / "postmaster.pid"
    deadline = time.monotonic() + 20
    while _inside(data) and time.monotonic() < deadline:
        time.sleep(0.05)
    if lock.exists() and not _inside(data):
        pid = int(lock.read_text().split(maxsplit=1)[0])
        if Path(f"/proc/{pid}").exists():
            lock.unlink()


def _inside(data: Path) -> list[int]:
    """Pids of our PostgreSQL processes whose working folder is the data folder."""
    folder, programs = data.resolve(), postgres_tree.location().resolve()
    pids = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            here = (entry / "cwd").readlink() == folder
            if here and (entry / "exe").readlink().is_relative_to(programs):
                pids.append(int(entry.name))
    return pids


def _write(path: Path, text: str, account: Account | None) -> None:
    write_private(path, text)
    _give(path, account)


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)


def _password_file(place: Place, role: str) -> Path:
    return place.secrets / f"postgres_{role}"


def _connect(place: Place, database: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(
        host=LOOPBACK,
        port=place.ports["timescaledb"],
        user=SUPERUSER,
        password=password(_password_file(place, "superuser")),
        dbname=database,
        connect_timeout=5,
        sslmode="disable",  # regardless of PGSSLMODE: loopback
        gssencmode="disable",
        application_name="driftline stack",
        autocommit=True,
    )


def _ensure_role(connection: psycopg.Connection[tuple[Any, ...]], user: str, secret: str) -> None:
    exists = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [user]).fetchone()
    action: LiteralString = "ALTER" if exists else "CREATE"
    # The server gets a verifier, never the password, which a failed statement would log.
    verifier = connection.pgconn.encrypt_password(secret.encode(), user.encode(), b"scram-sha-256")
    connection.execute(
        sql.SQL(action + " ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(user), sql.Literal(verifier.decode())
        )
    )


def _limit_roles(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Only our database can be connected to; `read` has a connection limit, and is disconnected if
    it leaves a transaction open (against accidents: a role may change its own timeouts)."""
    read, migrate = (sql.Identifier(ROLES[role]) for role in ("read", "migrate"))
    for statement in (
        sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC"),
        sql.SQL("ALTER ROLE {} CONNECTION LIMIT 50").format(read),
        sql.SQL("ALTER ROLE {} SET idle_in_transaction_session_timeout = '1h'").format(read),
        # for TimescaleDB's own jobs, such as retention, which run as the owner of the tables
        sql.SQL("ALTER ROLE {} SET lock_timeout = '30s'").format(migrate),
        # so that `migrate` can say since when, and from where, a session blocks it
        sql.SQL("GRANT pg_read_all_stats TO {}").format(migrate),
    ):
        connection.execute(statement)


def _ensure_database(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    name = sql.Identifier(DATABASE)
    query = "SELECT 1 FROM pg_database WHERE datname = %s"
    if connection.execute(query, [DATABASE]).fetchone() is None:
        owner = sql.Identifier(ROLES["migrate"])
        # not of template1, which TimescaleDB's scheduler may have open just then
        create = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0")
        connection.execute(create.format(name, owner))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    guests = sql.SQL(", ").join(sql.Identifier(ROLES[role]) for role in ("write", "read"))
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, guests))


def _ensure_extension(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    # The packages may be newer; the update must be the first statement of a session.
    try:
        connection.execute("ALTER EXTENSION timescaledb UPDATE")
    except psycopg.errors.UndefinedObject:
        connection.execute("CREATE EXTENSION timescaledb")
