"""The database schema: created and evolved by `driftline migrate`, checked before a job starts."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import LiteralString

import psycopg
import pyarrow as pa
import sqlalchemy as sa
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from psycopg import sql

from driftline import names
from driftline.config import Config, Postgres
from driftline.errors import SchemaError
from driftline.storage import blockers
from driftline.storage.connection import Connection, driver, engine
from driftline.storage.tables import grants, prediction_table, row_retention, shadow_table

# How long to wait for another migration.
_MIGRATION_TIMEOUT = timedelta(minutes=10)
# How long to wait for a table in use: all other queries of the table queue behind the migration.
_LOCK_TIMEOUT = timedelta(seconds=30)

# As alembic creates it; it must exist before the first revision so that it can be locked.
_VERSION_TABLE = """
    CREATE TABLE IF NOT EXISTS driftline.alembic_version (
      version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"""
# Roles without write privileges on the table get at most ACCESS SHARE, which does not conflict with
# this lock.
_LOCK = "LOCK TABLE driftline.alembic_version IN SHARE ROW EXCLUSIVE MODE"


def migrate(
    config: Config, models: Mapping[str, pa.Schema] | None = None, *, widen: bool = False
) -> None:
    """Upgrade the schema to this version: revisions, privileges, the tables of each declared model.

    All or nothing, in one transaction as role `migrate`. Running it again changes nothing.

    Parameters:
        config: where the database is, and its roles.
        models: the features of each model, as in `declare`.
        widen: as in `declare`.

    Raises:
        SchemaError: a role or TimescaleDB is missing, a feature changed its type, or a table was
            in use for too long (the message names the session).
        ServiceError: the database cannot be reached.
    """
    postgres = config.local_postgres()
    with _transaction(postgres) as connection:
        raw = driver(connection)
        _create_extension(raw)
        _upgrade(connection)
        grants.apply(raw, postgres)
        for model, features in (models or {}).items():
            prediction_table.declare(connection, model, features, widen=widen)
            shadow_table.declare(connection, model)
        row_retention.apply(raw, config.storage)


def declare(config: Config, model: str, features: pa.Schema, *, widen: bool = False) -> None:
    """Create the model's prediction and shadow tables, or add the columns of a new version.

    Safe to run concurrently; running it again changes nothing.

    Parameters:
        model: the model's name in the config.
        features: name and type of each feature: int, float, string or bool.
        widen: turn an int column into a float if the features require it. This rewrites the
            table and blocks reads and writes meanwhile.

    Raises:
        SchemaError: a feature has another type than its column, a reserved name, or a type that
            no column can hold; or the table was in use for too long (the message names who).
        ServiceError: the database cannot be reached.
    """
    postgres = config.local_postgres()
    with _transaction(postgres) as connection:
        prediction_table.declare(connection, model, features, widen=widen)
        shadow_table.declare(connection, model)
        row_retention.apply(driver(connection), config.storage)


def expire(config: Config) -> list[str]:
    """Drop rows older than `storage.keep_rows` on servers without retention policies.

    Returns:
        The dropped chunks.

    Raises:
        SchemaError: a table was in use for too long (the message names the session).
        ServiceError: the database cannot be reached.
    """
    if config.storage.keep_rows is None:
        return []
    with _transaction(config.local_postgres()) as connection:
        return row_retention.expire(driver(connection), config.storage)


def check(connection: Connection, model: str, features: pa.Schema) -> None:
    """Check that the database fits this version and this model; changes nothing.

    Raises:
        SchemaError: it does not; the message names what is missing.
    """
    revision, head = revisions(connection)
    if revision != head:
        raise SchemaError(
            f"the database's schema is at revision {revision!r}, this version needs {head!r}: "
            "run 'driftline migrate'"
        )
    prediction_table.check(connection, model, features)
    shadow_table.check(connection, model)


def revisions(connection: Connection) -> tuple[str | None, str | None]:
    """The revision of the database, and the revision that this version needs."""
    return _revision(connection), ScriptDirectory(str(_folder())).get_current_head()


def _revision(connection: Connection) -> str | None:
    if not _version_table_exists(connection):
        return None
    row = connection.execute(
        sql.SQL("SELECT version_num FROM {}").format(
            sql.Identifier(names.SCHEMA, "alembic_version")
        )
    ).fetchone()
    return None if row is None else str(row[0])


def _version_table_exists(connection: Connection) -> bool:
    table = f"{names.SCHEMA}.alembic_version"
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    return row == (True,)


@contextlib.contextmanager
def _transaction(postgres: Postgres) -> Iterator[sa.Connection]:
    with engine(postgres, "migrate").connect() as connection:
        raw = driver(connection)
        with blockers.name_blockers(postgres, "migrate", raw, SchemaError), connection.begin():
            _set_lock_timeout(raw, _MIGRATION_TIMEOUT)
            _lock(raw)
            _set_lock_timeout(raw, _LOCK_TIMEOUT)
            yield connection


def _set_lock_timeout(connection: Connection, timeout: timedelta) -> None:
    milliseconds = f"{timeout.total_seconds() * 1_000:.0f}"
    connection.execute("SELECT set_config('lock_timeout', %s, true)", [milliseconds])


def _lock(connection: Connection) -> None:
    """Allow one migration at a time, until the transaction ends."""
    if not _schema_exists(connection):
        _create_schema(connection)
    if not _version_table_exists(connection):
        _create_once(connection, _VERSION_TABLE)
    connection.execute(_LOCK)


def _create_schema(connection: Connection) -> None:
    try:
        _create_once(connection, sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(names.SCHEMA)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise SchemaError(
            f"role {connection.info.user!r} cannot create the schema {names.SCHEMA!r} "
            f"({error.diag.message_primary}): let it own database {connection.info.dbname!r}"
        ) from None


def _create_once(connection: Connection, statement: LiteralString | sql.Composed) -> None:
    """Create an object unless a concurrent migration created it; waits for that migration."""
    created = (psycopg.errors.UniqueViolation, psycopg.errors.DuplicateSchema)
    with contextlib.suppress(*created), connection.transaction():
        connection.execute(statement)


def _create_extension(connection: Connection) -> None:
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.errors.Error as error:
        raise SchemaError(
            f"can't create the extension timescaledb ({error.diag.message_primary}): install "
            "TimescaleDB, then run CREATE EXTENSION timescaledb in the database as a superuser"
        ) from None


def _schema_exists(connection: Connection) -> bool:
    row = connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", [names.SCHEMA]).fetchone()
    return row == (True,)


def _upgrade(connection: sa.Connection) -> None:
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")


def _folder() -> Path:
    """The folder of the revisions: inside an installed package, or at the root of a clone."""
    package = Path(__file__).parents[2]
    installed = package / "_alembic"
    return installed if installed.is_dir() else package.parents[1] / "alembic"
