"""Privileges of role `read` beyond reading; only administrators can revoke them."""

from driftline.storage.connection import Connection

_DATABASES = """
    SELECT datname FROM pg_database
     WHERE datallowconn AND datname <> current_database()
       AND has_database_privilege(oid, 'CONNECT') ORDER BY datname"""

_RIGHTS = {
    "create temporary tables": "has_database_privilege(current_database(), 'TEMPORARY')",
    "create schemas": "has_database_privilege(current_database(), 'CREATE')",
    "create tables in schema public": "has_schema_privilege('public', 'CREATE')",
    "create large objects": "has_function_privilege('pg_catalog.lo_create(oid)', 'EXECUTE')",
    "drop chunks by TimescaleDB's internal functions": """coalesce((
        SELECT bool_or(has_function_privilege(p.oid, 'EXECUTE'))
          FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
         WHERE n.nspname = '_timescaledb_functions' AND p.proname = 'drop_chunk'), false)""",
    "take the locks of writers": "has_any_column_privilege('driftline.lock', 'UPDATE')",
}


def excess_rights(connection: Connection) -> list[str]:
    """What the connection's role may do beyond reading, as text.

    Parameters:
        connection: as role `read`, to a migrated database.
    """
    rights = [
        right
        for right, condition in _RIGHTS.items()
        if connection.execute(f"SELECT {condition}").fetchone() == (True,)
    ]
    databases = [name for (name,) in connection.execute(_DATABASES).fetchall()]
    if databases:
        rights.append(f"connect to {', '.join(databases)}")
    return rights
