"""Migrations, privileges, and the typed tables of the models, on a real TimescaleDB."""

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from psycopg import sql

from driftline import names
from driftline.config import Config, Login, Storage
from driftline.config.types import Secret
from driftline.errors import SchemaError, ServiceError
from driftline.services.stack import Stack
from driftline.storage.connection import connect, driver, engine
from driftline.storage.forget import forget
from driftline.storage.log.sources import source_ids
from driftline.storage.tables import row_retention, schema
from driftline.storage.tables.read_rights import excess_rights
from tests.databases import superuser

FEATURES = pa.schema(
    [
        ("amount", pa.float64()),
        ("items", pa.int64()),
        ("country", pa.dictionary(pa.int32(), pa.string())),
        ("is_new", pa.bool_()),
    ]
)

GOLDEN = Path(__file__).parents[2] / "data" / "schema.txt"
# As it may be called by any role, and checks no right.
_DROP_CHUNK = """SELECT _timescaledb_functions.drop_chunk(chunk)
                   FROM show_chunks('driftline.prediction_fraud') AS chunk"""

# What no revision makes: the tables of single models, and alembic's own.
_OF_MODELS = ("prediction_", "shadow_", "alembic_")


@pytest.fixture(scope="module")
def migrated(empty_database: Callable[[], Config]) -> Config:
    config = empty_database()
    schema.migrate(config, {"fraud": FEATURES})
    return config


def columns(config: Config, model: str) -> dict[str, str]:
    with connect(config.postgres, "read") as connection:
        rows = connection.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'driftline' AND table_name = %s ORDER BY ordinal_position",
            [names.prediction_table(model)],
        ).fetchall()
    return dict(rows)


def test_the_migrated_schema_is_the_one_that_was_reviewed(migrated: Config) -> None:
    """Columns and indexes; `DRIFTLINE_GOLDEN=write` accepts a change of theirs."""
    with connect(migrated.postgres, "migrate") as connection:
        columns = connection.execute(
            """SELECT table_name, concat_ws(' ', column_name, data_type,
                      CASE is_nullable WHEN 'NO' THEN 'not null' END,
                      'default ' || column_default,
                      'generated ' || lower(identity_generation))
                 FROM information_schema.columns WHERE table_schema = 'driftline'
                ORDER BY table_name, ordinal_position"""
        ).fetchall()
        indexes = connection.execute(
            """SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'driftline'
                ORDER BY tablename, indexdef"""
        ).fetchall()
    lines = [
        f"{table}: {text}\n"
        for table, text in (*columns, *indexes)
        if not table.startswith(_OF_MODELS)
    ]
    if os.environ.get("DRIFTLINE_GOLDEN") == "write":
        GOLDEN.write_text("".join(lines))
    assert lines == GOLDEN.read_text().splitlines(keepends=True)


def test_time_series_are_hypertables_on_their_times(migrated: Config) -> None:
    with connect(migrated.postgres, "read") as connection:
        found = connection.execute(
            "SELECT hypertable_name, column_name FROM timescaledb_information.dimensions"
            " WHERE hypertable_schema = 'driftline'"
        ).fetchall()
    of_models = {"prediction_fraud", "shadow_fraud"}  # other tests make tables of others
    known = {
        table: column
        for table, column in found
        if table in of_models or not table.startswith(("prediction_", "shadow_"))
    }
    assert known == {
        "ledger": "committed_at",
        "duplicate": "seen_at",
        "rejected": "rejected_at",
        "label": "label_time",
        "profile": "bucket",
        "dirty_window": "marked_at",
        "judged_window": "window_end",
        "window_stat": "window_end",
        "verdict": "window_end",
        "verdict_history": "window_end",
        "prediction_fraud": "event_time",
        "shadow_fraud": "event_time",
    }


def test_features_have_columns_of_their_names_and_types(migrated: Config) -> None:
    found = columns(migrated, "fraud")
    assert tuple(found)[: len(names.SYSTEM_COLUMNS)] == names.SYSTEM_COLUMNS
    assert {name: found[name] for name in FEATURES.names} == {
        "amount": "double precision",
        "items": "bigint",
        "country": "text",
        "is_new": "boolean",
    }


def test_migrating_again_changes_nothing(migrated: Config) -> None:
    before = columns(migrated, "fraud")
    schema.migrate(migrated, {"fraud": FEATURES})
    assert columns(migrated, "fraud") == before
    with connect(migrated.postgres, "read") as connection:
        schema.check(connection, "fraud", FEATURES)


def test_revisions_can_be_taken_back(empty_database: Callable[[], Config]) -> None:
    from alembic import command
    from alembic.config import Config as AlembicConfig

    config = empty_database()
    schema.migrate(config)
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(Path(__file__).parents[3] / "alembic"))
    with engine(config.postgres, "migrate").begin() as connection:
        settings.attributes["connection"] = connection
        command.downgrade(settings, "base")
        left = driver(connection).execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'driftline'"
        )
        assert left.fetchall() == [("alembic_version",)]
    schema.migrate(config)


def test_a_new_version_adds_columns(empty_database: Callable[[], Config]) -> None:
    config = empty_database()
    schema.migrate(config, {"fraud": FEATURES})
    more = FEATURES.append(pa.field("speed", pa.float32())).append(pa.field('odd "x"', pa.string()))
    schema.declare(config, "fraud", more)
    found = columns(config, "fraud")
    assert (found["speed"], found['odd "x"']) == ("double precision", "text")
    fewer = pa.schema([("amount", pa.float64())])
    schema.declare(config, "fraud", fewer)
    assert columns(config, "fraud") == found


def test_a_changed_type_is_refused_and_an_int_is_widened_when_asked(
    empty_database: Callable[[], Config],
) -> None:
    config = empty_database()
    schema.migrate(config, {"fraud": FEATURES})
    float_items = pa.schema([("items", pa.float64()), ("added", pa.int64())])
    with pytest.raises(
        SchemaError, match=r"'items' of model 'fraud' is int in the database and float now: widen"
    ):
        schema.declare(config, "fraud", float_items)
    assert "added" not in columns(config, "fraud")  # all or nothing
    schema.declare(config, "fraud", float_items, widen=True)
    assert columns(config, "fraud")["items"] == "double precision"
    with pytest.raises(SchemaError, match=r"'country' .* is string .* int now: give the new"):
        schema.declare(config, "fraud", pa.schema([("country", pa.int64())]), widen=True)
    with connect(config.postgres, "read") as connection, pytest.raises(SchemaError, match="float"):
        schema.check(connection, "fraud", FEATURES)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([("score", pa.float64())], "'score' .* one of driftline's own columns: rename it"),
        ([("xmin", pa.int64())], "'xmin' .* a PostgreSQL system column: rename it"),
        ([("a", pa.int64()), ("a", pa.int64())], "'a' of model 'bad' is defined twice"),
        ([("", pa.int64())], "can't be a column: a name needs 1 to 63 bytes"),
        ([("ü" * 32, pa.int64())], "can't be a column: a name needs 1 to 63 bytes"),
        ([("when", pa.timestamp("us"))], r"'when' .* type 'timestamp\[us\]': make it an int"),
        ([("big", pa.uint64())], r"'big' .* type 'uint64': make it an int"),
        ([(f"f{i}", pa.float64()) for i in range(1_000)], "1000 features .* log fewer"),
    ],
)
def test_features_that_no_table_can_hold_are_refused(
    migrated: Config, features: list[tuple[str, pa.DataType]], message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        schema.declare(migrated, "bad", pa.schema(features))
    assert columns(migrated, "bad") == {}


def test_a_table_holds_as_many_features_as_are_accepted(migrated: Config) -> None:
    many = pa.schema([(f"f{i}", pa.float64()) for i in range(900)])
    schema.declare(migrated, "wide", many)
    with connect(migrated.postgres, "write") as connection:
        connection.execute(
            sql.SQL(
                "INSERT INTO driftline.prediction_wide (event_time, event_id, model_version, role,"
                " score, late, source, kafka_offset, kafka_time, scored_at, inference_ms,"
                " lag_ms, {})"
                " SELECT now(), repeat('x', 512), 1, 'champion', 1, false, 1, 1, now(), now(),"
                " 1, 1, {}"
            ).format(
                sql.SQL(", ").join(map(sql.Identifier, many.names)),
                sql.SQL(", ").join([sql.SQL("1.5")] * len(many)),
            )
        )


def test_declaring_at_the_same_time_is_safe(migrated: Config) -> None:
    errors: list[Exception] = []

    def declare(extra: str) -> None:
        try:
            schema.declare(migrated, "busy", FEATURES.append(pa.field(extra, pa.int64())))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=declare, args=(f"extra_{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert {f"extra_{i}" for i in range(6)} <= columns(migrated, "busy").keys()


def test_a_table_in_use_is_not_waited_for(
    migrated: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_LOCK_TIMEOUT", timedelta(seconds=3))
    wider = FEATURES.append(pa.field("later", pa.int64()))
    with connect(migrated.postgres, "read", application_name="a BI tool") as connection:
        connection.execute("SELECT 'planted value' FROM driftline.prediction_fraud")
        with pytest.raises(SchemaError) as raised:
            schema.declare(migrated, "fraud", wider)
        pid = connection.info.backend_pid
        named = f"in use by session {pid} of role 'driftline_read' (application 'a BI tool', from "
        assert named in str(raised.value)
        assert "in a transaction since 20" in str(raised.value)
        assert "idle in transaction" in str(raised.value)
        assert "planted" not in str(raised.value)
    schema.declare(migrated, "fraud", wider)


def test_what_is_missing_is_said(empty_database: Callable[[], Config]) -> None:
    config = empty_database()
    with connect(config.postgres, "read") as connection:
        _, head = schema.revisions(connection)
        with pytest.raises(SchemaError, match=f"at revision None, this version needs '{head}'"):
            schema.check(connection, "fraud", FEATURES)
        schema.migrate(config)
        with pytest.raises(SchemaError, match="model 'fraud' has no prediction table"):
            schema.check(connection, "fraud", FEATURES)
        schema.declare(config, "fraud", FEATURES.remove(1))
        with pytest.raises(SchemaError, match="lacks the columns 'items': run 'driftline migrate'"):
            schema.check(connection, "fraud", FEATURES)


def test_a_missing_role_is_said_and_nothing_is_done(empty_database: Callable[[], Config]) -> None:
    config = empty_database()
    roles = config.postgres.roles.model_copy(update={"read": Login(user="nobody_here")})
    unknown = config.model_copy(
        update={"postgres": config.postgres.model_copy(update={"roles": roles})}
    )
    with pytest.raises(SchemaError, match=r"no role 'nobody_here' \(postgres.roles.read.user\)"):
        schema.migrate(unknown)
    with connect(config.postgres, "migrate") as connection:
        assert connection.execute("SELECT to_regnamespace('driftline')").fetchone() == (None,)


def refused(config: Config, role: Any, statement: str) -> None:
    with (
        connect(config.postgres, role) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO driftline.model (name, prediction_table) VALUES ('a', 'b')",
        "DELETE FROM driftline.prediction_fraud",
        "UPDATE driftline.rejected SET replayed_at = now()",
        "CREATE TABLE driftline.mine (x int)",
        "CREATE TABLE public.mine (x int)",
        "CREATE TEMP TABLE mine (x int)",
        "SELECT nextval('driftline.profile_id')",
        "SELECT FROM driftline.grafana_secret",
        "SELECT FROM driftline.source FOR UPDATE",
        "SELECT FROM driftline.source FOR KEY SHARE",
        "SELECT FROM driftline.lock FOR UPDATE",
        "INSERT INTO driftline.lock (kind, key) VALUES ('round', 'fraud')",
        "LOCK TABLE driftline.alembic_version IN ROW SHARE MODE",
        "LOCK TABLE driftline.source IN ROW SHARE MODE",
        "CREATE SCHEMA mine",
        "SELECT lo_create(0)",
        "SELECT lo_creat(-1)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_logical_emit_message(false, 'a', 'b')",
        _DROP_CHUNK,
    ],
)
def test_the_read_role_cannot_change_anything(migrated: Config, statement: str) -> None:
    refused(migrated, "read", statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE driftline.prediction_fraud SET score = 1",
        "DELETE FROM driftline.prediction_fraud",
        "DELETE FROM driftline.rejected",
        "DELETE FROM driftline.duplicate",
        "DELETE FROM driftline.label",
        "UPDATE driftline.rejected SET reason = ''",
        "UPDATE driftline.ledger SET logged = 1",
        "UPDATE driftline.profile SET rows = 1",
        "TRUNCATE driftline.ledger",
        "INSERT INTO driftline.alembic_version VALUES ('x')",
        "CREATE TABLE driftline.mine (x int)",
        "CREATE TABLE public.mine (x int)",
        "ALTER TABLE driftline.prediction_fraud ADD COLUMN mine int",
        "DROP TABLE driftline.source",
        "SELECT drop_chunks('driftline.prediction_fraud', older_than => now())",
        _DROP_CHUNK,
        "UPDATE driftline.source SET topic = ''",
        "DELETE FROM driftline.source",
        "LOCK TABLE driftline.alembic_version IN ROW SHARE MODE",
    ],
)
def test_the_write_role_cannot_change_the_schema_or_the_past(
    migrated: Config, statement: str
) -> None:
    with connect(migrated.postgres, "write") as connection:
        connection.execute(
            "INSERT INTO driftline.prediction_fraud (event_time, event_id, model_version, role,"
            " late, source, kafka_offset, kafka_time, scored_at, inference_ms, lag_ms) VALUES"
            " (now(), 'x', 1, 'champion', false, 1, 1, now(), now(), 1, 1) ON CONFLICT DO NOTHING"
        )
    try:
        refused(migrated, "write", statement)
    except psycopg.errors.lookup("TS000"):  # how drop_chunks words it in some versions
        assert "drop_chunks" in statement


def test_what_role_read_may_beyond_reading_is_found(
    migrated: Config, empty_database: Callable[[], Config], stack: Stack
) -> None:
    with connect(migrated.postgres, "read") as connection:
        assert not [
            right for right in excess_rights(connection) if not right.startswith("connect to ")
        ]
    config = empty_database()
    schema.migrate(config)
    with superuser(stack, config, config.postgres.database) as connection:
        for statement in (
            "GRANT TEMPORARY, CREATE ON DATABASE {} TO driftline_read",
            "GRANT CREATE ON SCHEMA public TO driftline_read",
            "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC",
            "GRANT EXECUTE ON FUNCTION _timescaledb_functions.drop_chunk(regclass) TO PUBLIC",
            "GRANT UPDATE ON driftline.lock TO driftline_read",
        ):
            name = sql.Identifier(config.postgres.database)
            connection.execute(sql.SQL(statement).format(name))
    with connect(config.postgres, "read") as connection:
        found = excess_rights(connection)
    assert [right for right in found if not right.startswith("connect to ")] == [
        "create temporary tables",
        "create schemas",
        "create tables in schema public",
        "create large objects",
        "drop chunks by TimescaleDB's internal functions",
        "take the locks of writers",
    ]
    (databases,) = [right for right in found if right.startswith("connect to ")]
    assert migrated.postgres.database in databases  # of the tests', where it has tables to read
    assert not {"postgres", "template1"} & set(databases.replace(",", "").split())


def test_the_roles_can_do_their_work(migrated: Config) -> None:
    with connect(migrated.postgres, "write") as connection:
        assert source_ids(connection, "fraud", "events", "t", [3, 1, 3]).keys() == {1, 3}
        first = source_ids(connection, "fraud", "events", "t", [1, 2])
        assert source_ids(connection, "fraud", "events", "t", [2, 1]) == first
        connection.execute("CREATE TEMP TABLE mine (x int) ON COMMIT DROP")
        connection.execute(
            "INSERT INTO driftline.dirty_window (model, minutes) VALUES ('fraud', '{[1,2)}')"
        )
        connection.execute("DELETE FROM driftline.dirty_window")
        connection.execute("DELETE FROM driftline.ledger")
        connection.execute("UPDATE driftline.rejected SET replayed_at = now()")
    with connect(migrated.postgres, "read") as connection:
        for table in connection.execute(
            """SELECT tablename FROM pg_tables WHERE schemaname = 'driftline'
                  AND tablename NOT IN ('grafana_secret', 'alembic_version')"""
        ).fetchall():
            name = sql.Identifier("driftline", *table)
            connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name))
        connection.execute("SELECT count(*) FROM driftline.prediction_fraud")


def test_tables_that_come_later_can_be_read(migrated: Config) -> None:
    with connect(migrated.postgres, "migrate") as connection:
        connection.execute("CREATE TABLE driftline.later (x int)")
    with connect(migrated.postgres, "read") as connection:
        connection.execute("SELECT * FROM driftline.later")
    with connect(migrated.postgres, "write") as connection:
        connection.execute("INSERT INTO driftline.later VALUES (1)")
    refused(migrated, "write", "DELETE FROM driftline.later")
    with connect(migrated.postgres, "migrate") as connection:
        connection.execute("DROP TABLE driftline.later")


def test_old_rows_expire_where_the_server_has_no_policies(
    empty_database: Callable[[], Config],
) -> None:
    config = empty_database()
    schema.migrate(config, {"fraud": FEATURES})
    row = (
        "INSERT INTO driftline.prediction_fraud (event_time, event_id, model_version, role, late,"
        " source, kafka_offset, kafka_time, scored_at, inference_ms, lag_ms)"
        " VALUES (now() - %s::interval, 'x', 1, 'champion', false, 1, 1, now(), now(), 1, 1)"
    )
    with connect(config.postgres, "write") as connection:
        for age in (timedelta(days=1), timedelta(days=100)):
            connection.execute(row, [age])
    assert schema.expire(config) == []
    limited = config.model_copy(update={"storage": Storage(keep_rows=timedelta(days=30))})
    with connect(config.postgres, "migrate") as connection:
        has_policies = row_retention.available(connection)
    assert len(schema.expire(limited)) == (0 if has_policies else 1)


def test_shadows_have_a_table_that_is_expired_and_forgotten(
    empty_database: Callable[[], Config],
) -> None:
    config = empty_database()
    schema.migrate(config, {"fraud-eu": FEATURES})
    row = (
        "INSERT INTO driftline.shadow_fraud_eu (event_time, event_id, model_version, role, source,"
        " kafka_offset, scored_at, inference_ms) VALUES"
        " (now() - %s::interval, 'x', %s, 'shadow', 1, 1, now(), 1)"
    )
    with connect(config.postgres, "write", autocommit=True) as connection:
        for version, days in ((1, 1), (2, 1), (1, 100)):
            connection.execute(row, [timedelta(days=days), version])
    with connect(config.postgres, "migrate") as connection:
        assert "shadow_fraud_eu" in row_retention._tables(connection)
        has_policies = row_retention.available(connection)
    limited = config.model_copy(update={"storage": Storage(keep_rows=timedelta(days=30))})
    assert len(schema.expire(limited)) == (0 if has_policies else 1)
    with connect(config.postgres, "migrate") as connection:
        forget(connection, "fraud-eu")
        assert connection.execute("SELECT FROM driftline.shadow_fraud_eu").fetchall() == []
        connection.execute("DROP TABLE driftline.shadow_fraud_eu")
    message = "'fraud-eu' has no shadow table: run 'driftline migrate'"
    with (
        connect(config.postgres, "read") as connection,
        pytest.raises(SchemaError, match=message),
    ):
        schema.check(connection, "fraud-eu", FEATURES)
    schema.migrate(config, {"fraud-eu": FEATURES})
    with connect(config.postgres, "read") as connection:
        schema.check(connection, "fraud-eu", FEATURES)


def test_connection_errors_say_what_to_do_and_no_password(migrated: Config, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2-is-wrong\n")
    good = migrated.postgres
    login = Login(user=good.roles.read.user, password=Secret(file=password))
    wrong = good.model_copy(update={"roles": good.roles.model_copy(update={"read": login})})
    for settings, message in (
        (good.model_copy(update={"port": 1}), "can't connect to PostgreSQL at .*:1'.*driftline up"),
        (good.model_copy(update={"database": "nope"}), "has no database 'nope': create it"),
        (
            good.model_copy(update={"sslmode": "require"}),
            "does not support TLS, which postgres.sslmode requires",
        ),
        (wrong, r"rejects the account 'driftline_read': check postgres.roles.read"),
    ):
        with pytest.raises(ServiceError, match=message) as raised:
            connect(settings, "read")
        assert "hunter2" not in str(raised.value)


def test_a_connection_gives_up_on_locks_when_told(migrated: Config) -> None:
    with connect(migrated.postgres, "write", lock_timeout=timedelta(milliseconds=1_500)) as one:
        assert one.execute("SHOW lock_timeout").fetchone() == ("1500ms",)
        assert one.execute("SHOW application_name").fetchone() == ("driftline-write",)
