"""Who may do what: each role gets what its code uses, and no more."""

from psycopg import sql

from driftline import names
from driftline.config import Postgres
from driftline.errors import SchemaError
from driftline.storage.connection import Connection

# Beyond SELECT and INSERT, which `write` has on every table.
_WRITE_MORE = {
    "source": "UPDATE (id)",  # what it takes to lock a row; the column itself is GENERATED ALWAYS
    "lock": "UPDATE, DELETE",
    "ledger": "DELETE",  # compaction
    "batch_attempt": "UPDATE (offsets, started_at), DELETE",  # the next batch; finished ones
    "profile": "DELETE",  # compaction
    "profile_hour": "DELETE",  # added up anew
    "dirty_window": "DELETE",  # what the monitors have seen
    "rejected": "UPDATE (replayed_at)",
    "quarantine": "DELETE",  # released by hand
    "reference": "UPDATE, DELETE",  # set anew
    "reference_block": "DELETE",
    "reference_sample": "UPDATE",  # with its reference
    "calibration": "UPDATE, DELETE",  # of an earlier reference
    "judged_window": "UPDATE",  # revisions
    "window_stat": "DELETE",
    "verdict": "DELETE, UPDATE (report_id)",  # goes to the history
    "verdict_history": "DELETE",  # when it is old
    "incident": "UPDATE",
    "alert": "UPDATE",
    "silence": "UPDATE",  # ended early
    "notification": "UPDATE",  # sent
    "runner": "UPDATE, DELETE",
    "monitor_progress": "UPDATE",
    "grafana_object": "UPDATE, DELETE",
    "grafana_secret": "DELETE",
}
# What role `read`, which Grafana itself has, may not see: digests of Grafana's secrets.
_NOT_READ = ("grafana_secret",)
_SCHEMA = sql.Identifier(names.SCHEMA)


def apply(connection: Connection, postgres: Postgres) -> None:
    """Grant the roles `write` and `read` their rights, on tables to come too.

    Raises:
        SchemaError: a role does not exist. Roles and their passwords are never made here.
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
        for table in _NOT_READ:
            connection.execute(
                sql.SQL("REVOKE ALL ON {} FROM {}").format(
                    sql.Identifier(names.SCHEMA, table), sql.Identifier(roles["read"])
                )
            )


def _require_role(connection: Connection, name: str, user: str) -> None:
    if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [user]).fetchall():
        raise SchemaError(
            f"the database has no role {user!r} (postgres.roles.{name}.user): create it, with a "
            "password, as a superuser; migrations never set passwords"
        )


def _statements(connection: Connection, database: str, write: str, read: str) -> list[sql.Composed]:
    def grant(what: str, user: str, *identifiers: sql.Composable) -> sql.Composed:
        return sql.SQL("GRANT " + what + " TO {}").format(*identifiers, sql.Identifier(user))

    statements = [
        grant("USAGE ON SCHEMA {}", read, _SCHEMA),
        grant("SELECT ON ALL TABLES IN SCHEMA {}", read, _SCHEMA),
        _later(sql.SQL("SELECT"), read),
        grant("USAGE ON SCHEMA {}", write, _SCHEMA),
        grant("SELECT, INSERT ON ALL TABLES IN SCHEMA {}", write, _SCHEMA),
        grant("USAGE ON ALL SEQUENCES IN SCHEMA {}", write, _SCHEMA),
        _later(sql.SQL("SELECT, INSERT"), write),
    ]
    for table, more in _WRITE_MORE.items():
        statements.append(grant(more + " ON {}", write, sql.Identifier(names.SCHEMA, table)))
    if not _may_make_temporary_tables(connection, database, write):
        statements.append(grant("TEMPORARY ON DATABASE {}", write, sql.Identifier(database)))
    return statements


def _later(rights: sql.SQL, user: str) -> sql.Composed:
    return sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT {} ON TABLES TO {}").format(
        _SCHEMA, rights, sql.Identifier(user)
    )


def _may_make_temporary_tables(connection: Connection, database: str, user: str) -> bool:
    row = connection.execute(
        "SELECT has_database_privilege(%s, %s, 'TEMPORARY')", [user, database]
    ).fetchone()
    return row == (True,)
