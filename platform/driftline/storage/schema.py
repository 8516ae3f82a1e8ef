"""The database's schema: made and evolved by `driftline migrate`, checked before a job starts."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

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
from driftline.storage import community, grants, prediction_table, shadow_table
from driftline.storage.connection import Connection, driver, engine

# One migration at a time, whoever starts it.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('driftline.schema', 0))"
# A table that is in use for longer than this is not waited for: everybody else would wait too.
_PATIENCE = "SET LOCAL lock_timeout = '30s'"


def migrate(
    config: Config, models: Mapping[str, pa.Schema] | None = None, *, widen: bool = False
) -> None:
    """Bring the schema to this version: revisions, rights, the tables of each declared model.

    All in one transaction as role `migrate`: it is done whole or not at all. Running it again
    changes nothing.

    Parameters:
        config: where the database is, and its roles.
        models: the features of each model, as `declare` takes them.
        widen: as in `declare`.

    Raises:
        SchemaError: a role or TimescaleDB is missing, a feature changed its type, or a table is
            in use for too long.
        ServiceError: the database cannot be reached.
    """
    postgres = config.local_postgres()
    with _transaction(postgres) as connection:
        raw = driver(connection)
        _prepare_database(raw)
        _upgrade(connection)
        grants.apply(raw, postgres)
        for model, features in (models or {}).items():
            prediction_table.declare(connection, model, features, widen=widen)
            shadow_table.declare(connection, model)
        community.apply(raw, config.storage)


def declare(config: Config, model: str, features: pa.Schema, *, widen: bool = False) -> None:
    """Make the model's prediction and shadow tables, or add the columns of a new version.

    Safe when two do it at once; running it again changes nothing.

    Parameters:
        model: the model's name in the config.
        features: name and type of each feature: int, float, string or bool.
        widen: turn an int column into a float when the features ask for it. It rewrites the
            table while nobody reads or writes it.

    Raises:
        SchemaError: a feature has another type than its column, a reserved name, or a type that
            no column can hold; or the table is in use for too long.
        ServiceError: the database cannot be reached.
    """
    postgres = config.local_postgres()
    with _transaction(postgres) as connection:
        prediction_table.declare(connection, model, features, widen=widen)
        shadow_table.declare(connection, model)
        community.apply(driver(connection), config.storage)


def expire(config: Config) -> list[str]:
    """Drop rows older than `storage.keep_rows`, where the server has no policy that does it.

    Returns:
        The chunks that were dropped.

    Raises:
        ServiceError: the database cannot be reached.
    """
    if config.storage.keep_rows is None:
        return []
    with _transaction(config.local_postgres()) as connection:
        return community.expire(driver(connection), config.storage)


def check(connection: Connection, model: str, features: pa.Schema) -> None:
    """See that the database is what this version, and this model, need; changes nothing.

    Raises:
        SchemaError: it is not; the message says what is missing.
    """
    found, head = revisions(connection)
    if found != head:
        raise SchemaError(
            f"the database's schema is at revision {found!r}, this version needs {head!r}: "
            "run 'driftline migrate'"
        )
    prediction_table.check(connection, model, features)
    shadow_table.check(connection, model)


def revisions(connection: Connection) -> tuple[str | None, str | None]:
    """The revision that the database has, and the one that this version needs."""
    return _revision(connection), ScriptDirectory(str(_folder())).get_current_head()


def _revision(connection: Connection) -> str | None:
    table = f"{names.SCHEMA}.alembic_version"
    exists = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [table]).fetchone()
    if exists != (True,):
        return None
    row = connection.execute(
        sql.SQL("SELECT version_num FROM {}").format(
            sql.Identifier(names.SCHEMA, "alembic_version")
        )
    ).fetchone()
    return None if row is None else str(row[0])


@contextlib.contextmanager
def _transaction(postgres: Postgres) -> Iterator[sa.Connection]:
    try:
        with engine(postgres, "migrate").begin() as connection:
            connection.exec_driver_sql(_LOCK)
            connection.exec_driver_sql(_PATIENCE)
            yield connection
    except (psycopg.errors.LockNotAvailable, sa.exc.OperationalError) as error:
        if not isinstance(getattr(error, "orig", error), psycopg.errors.LockNotAvailable):
            raise
        raise SchemaError(
            "a table of driftline's is in use by a long transaction: nothing was changed; "
            "run it again, or stop what holds it (pg_stat_activity shows it)"
        ) from None


def _prepare_database(connection: Connection) -> None:
    """The extension and the schema; revisions need both, and alembic its table in the schema."""
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.errors.Error as error:
        raise SchemaError(
            f"can't make the extension timescaledb ({error.diag.message_primary}): install "
            "TimescaleDB, then run CREATE EXTENSION timescaledb in the database as a superuser"
        ) from None
    if _schema_exists(connection):
        return
    try:
        with connection.transaction():
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(names.SCHEMA)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise SchemaError(
            f"role {connection.info.user!r} may not make the schema {names.SCHEMA!r} "
            f"({error.diag.message_primary}): let it own database {connection.info.dbname!r}"
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
    """The revisions: inside the package when installed, at the root of a clone."""
    package = Path(__file__).parents[1]
    installed = package / "_alembic"
    return installed if installed.is_dir() else package.parents[1] / "alembic"
