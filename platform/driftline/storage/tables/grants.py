"""Grants: each role gets the privileges that its code uses, and no more."""

from psycopg import sql

from driftline import names
from driftline.config import Postgres
from driftline.errors import SchemaError
from driftline.storage.connection import Connection

# In addition to SELECT and INSERT, which `write` has on every table.
_WRITE_GRANTS = {
    "source": "UPDATE (id)",  # required to lock a row; the column itself is GENERATED ALWAYS
    "lock": "UPDATE, DELETE",
    "ledger": "DELETE",  # compaction
    "batch_attempt": "UPDATE (offsets, started_at), DELETE",  # the next batch; finished batches
    "profile": "DELETE",  # compaction
    "profile_hour": "DELETE",  # rebuilt
    "dirty_window": "DELETE",  # consumed by the monitors
    "rejected": "UPDATE (replayed_at)",
    "quarantine": "DELETE",  # released manually
    "reference": "UPDATE, DELETE",  # replaced
    "reference_block": "DELETE",
    "reference_sample": "UPDATE",  # with its reference
    "calibration": "UPDATE, DELETE",  # of an earlier reference
    "judged_window": "UPDATE",  # revisions
    "window_stat": "DELETE",
    "verdict": "DELETE, UPDATE (report_id)",  # moved to the history
    "verdict_history": "DELETE",  # expired
    "incident": "UPDATE",
    "alert": "UPDATE",
    "silence": "UPDATE",  # ended early
    "notification": "UPDATE",  # sent
    "runner": "UPDATE, DELETE",
    "monitor_progress": "UPDATE",
    "grafana_object": "UPDATE, DELETE",
    "grafana_secret": "DELETE",
}
# Hidden from role `read`, which Grafana itself uses: digests of Grafana's secrets.
_HIDDEN_FROM_READ = ("grafana_secret",)
_SCHEMA = sql.Identifier(names.SCHEMA)


def apply(connection: Connection, postgres: Postgres) -> None:
    """Grant the roles `write` and `read` their privileges, on future tables too.

    Raises:
        SchemaError: a role does not exist. Roles and their passwords are never created here.
    """
    roles = {"write": postgres.roles.write.user, "read": postgres.roles.read.user}
    for name, user in roles.items():
        _require_role(connection, name, user)
    owner = postgres.roles.migrate.user
    for statement in _statements(connection, postgres.database, **roles):
        connection.execute(statement)
    for user in set(roles.values()) - {owner}:
        version = sql.Identifier(names.SCHEMA, "alembic_version")
        connection.execute(
            sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {} FROM {}").format(
                version, sql.Identifier(user)
            )
        )
    if roles["read"] not in (owner, roles["write"]):
        for table in _HIDDEN_FROM_READ:
            connection.execute(
                sql.SQL("REVOKE ALL ON {} FROM {}").format(
                    sql.Identifier(names.SCHEMA, table), sql.Identifier(roles["read"])
                )
            )


def _require_role(connection: Connection, name: str, user: str) -> None:
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [user]).fetchall():
        raise SchemaError(
            f"the database has no role {user!r} (postgres.roles.{name}.user): create it with a "
            "password as a superuser; migrations never set passwords"
        )


def _statements(connection: Connection, database: str, write: str, read: str) -> list[sql.Composed]:
    def grant(privileges: str, user: str, *identifiers: sql.Composable) -> sql.Composed:
        return sql.SQL("GRANT " + privileges + " TO {}").format(*identifiers, sql.Identifier(user))

    statements = [
        grant("USAGE ON SCHEMA {}", read, _SCHEMA),
        grant("SELECT ON ALL TABLES IN SCHEMA {}", read, _SCHEMA),
        _grant_on_future_tables(sql.SQL("SELECT"), read),
        grant("USAGE ON SCHEMA {}", write, _SCHEMA),
        grant("SELECT, INSERT ON ALL TABLES IN SCHEMA {}", write, _SCHEMA),
        grant("USAGE ON ALL SEQUENCES IN SCHEMA {}", write, _SCHEMA),
        _grant_on_future_tables(sql.SQL("SELECT, INSERT"), write),
    ]
    for table, privileges in _WRITE_GRANTS.items():
        statements.append(grant(privileges + " ON {}", write, sql.Identifier(names.SCHEMA, table)))
    if not _may_create_temporary_tables(connection, database, write):
        statements.append(grant("TEMPORARY ON DATABASE {}", write, sql.Identifier(database)))
    return statements


def _grant_on_future_tables(privileges: sql.SQL, user: str) -> sql.Composed:
    return sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT {} ON TABLES TO {}").format(
        _SCHEMA, privileges, sql.Identifier(user)
    )


def _may_create_temporary_tables(connection: Connection, database: str, user: str) -> bool:
    row = connection.execute(
        "SELECT has_database_privilege(%s, %s, 'TEMPORARY')", [user, database]
    ).fetchone()
    return row == (True,)
