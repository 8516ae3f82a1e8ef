"""Somebody who has the account of role `read`, as Grafana has, and means ill."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql

from driftline.config import Postgres
from driftline.storage.connection import Connection, connect

_READABLE = """
    SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_(toast|temp)'
       AND has_table_privilege(c.oid, 'SELECT') ORDER BY n.nspname = 'driftline', c.oid"""
_ROW_LOCKS = ("UPDATE", "NO KEY UPDATE", "SHARE", "KEY SHARE")

# What guarded driftline before version 0016 of the schema: any role may take these.
_OF_NUMBERS = """
    SELECT pg_advisory_lock(%(lock)s, n) FROM generate_series(1, 50) AS n"""
_OF_NAMES = """
    SELECT pg_advisory_lock(kind, hashtext(%(name)s))
      FROM unnest('{1684406273,1684406274,1684406275,1684406276,1684406279,1684406280}'::int[])
        AS kind"""
_OF_TEXTS = """
    SELECT pg_advisory_lock(hashtextextended(text, 0))
      FROM unnest(ARRAY['driftline.schema', 'driftline.profiles ' || %(name)s,
                        'driftline.ledger ' || %(name)s, 'driftline.monitor ' || %(name)s])
        AS text"""


@contextmanager
def holding(postgres: Postgres, *keys: str, shares: tuple[int, ...] = ()) -> Iterator[Connection]:
    """Every lock that role `read` can get, in a transaction that stays open.

    Parameters:
        keys: names of models, and whatever else locks are named after.
        shares: of runners.
    """
    with connect(postgres, "read") as connection:
        connection.execute(_OF_NUMBERS, {"lock": 0x6466_0001})
        for share in shares:
            connection.execute("SELECT pg_advisory_lock(%s, %s)", [0x6466_0004, share])
        for key in keys:
            connection.execute(_OF_NAMES, {"name": key})
            connection.execute(_OF_TEXTS, {"name": key})
        tables = connection.execute(_READABLE).fetchall()
        assert ("driftline", "source") in tables
        for schema, table in tables:
            name = sql.Identifier(schema, table)
            connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(name))
            if schema == "driftline":
                _refused(connection, sql.SQL("LOCK TABLE {} IN ROW SHARE MODE").format(name))
                for strength in _ROW_LOCKS:
                    statement = sql.SQL("SELECT FROM {} FOR " + strength).format(name)
                    _refused(connection, statement)
        yield connection


def _refused(connection: Connection, statement: sql.Composed) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute(statement)
