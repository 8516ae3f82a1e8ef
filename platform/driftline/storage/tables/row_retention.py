"""Compression and retention of rows, where the server's edition has them.

Debian's packages and some managed services run TimescaleDB's Apache-2 edition: it rejects both
with SQLSTATE 0A000. Old rows then remain uncompressed, and `expire` drops them.
Verdicts are dropped by `driftline.storage.monitoring.verdicts.expire`.
"""

from datetime import timedelta

from psycopg import sql

from driftline import names
from driftline.config import Storage
from driftline.storage.connection import Connection
from driftline.storage.tables import shadow_table

# The tables of raw rows, with the column that orders a compressed chunk.
_RAW_TABLES = {"label": "label_time", "duplicate": "seen_at", "rejected": "rejected_at"}


def available(connection: Connection) -> bool:
    """Whether the server runs the community edition, which has both."""
    row = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    return row == ("timescale",)


def apply(connection: Connection, storage: Storage) -> None:
    """Set the configured policies on every table of raw rows; no-op on the Apache-2 edition."""
    if not available(connection):
        return
    for table, time in _tables(connection).items():
        _compress(connection, table, time, storage.compress_after)
        _retain(connection, table, storage.keep_rows)


def expire(connection: Connection, storage: Storage) -> list[str]:
    """Drop the chunks that are older than `keep_rows`, as role `migrate`.

    For servers without retention policies; with policies, the server drops them itself.

    Returns:
        The dropped chunks.
    """
    if storage.keep_rows is None or available(connection):
        return []
    dropped: list[str] = []
    for table in _tables(connection):
        rows = connection.execute(
            "SELECT drop_chunks(%s::regclass, older_than => %s::interval)",
            [_qualified(table), storage.keep_rows],
        ).fetchall()
        dropped += [str(name) for (name,) in rows]
    return dropped


def _tables(connection: Connection) -> dict[str, str]:
    """Each table of raw rows with its time column."""
    rows = connection.execute(
        sql.SQL("SELECT name, prediction_table FROM {}").format(
            sql.Identifier(names.SCHEMA, "model")
        )
    ).fetchall()
    tables = [str(table) for _, table in rows]
    shadowed = [name for name, _ in rows if shadow_table.exists(connection, name)]
    tables += map(names.shadow_table, shadowed)
    return {**_RAW_TABLES, **dict.fromkeys(tables, "event_time")}


def _compress(connection: Connection, table: str, time: str, after: timedelta | None) -> None:
    name = _qualified(table)
    connection.execute("SELECT remove_compression_policy(%s::regclass, if_exists => true)", [name])
    if after is None:
        return
    connection.execute(
        sql.SQL(
            "ALTER TABLE {} SET (timescaledb.compress, timescaledb.compress_orderby = {})"
        ).format(sql.Identifier(names.SCHEMA, table), sql.Literal(time))
    )
    connection.execute("SELECT add_compression_policy(%s::regclass, %s::interval)", [name, after])


def _retain(connection: Connection, table: str, keep: timedelta | None) -> None:
    name = _qualified(table)
    connection.execute("SELECT remove_retention_policy(%s::regclass, if_exists => true)", [name])
    if keep is not None:
        connection.execute("SELECT add_retention_policy(%s::regclass, %s::interval)", [name, keep])


def _qualified(table: str) -> str:
    """The name as `regclass` reads it; table names are lower-case identifiers already."""
    return f"{names.SCHEMA}.{table}"
