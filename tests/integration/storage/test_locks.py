"""Locks that a role which can only read can neither take nor keep from anybody."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from driftline.audit import audit
from driftline.errors import SchemaError, ServiceError
from driftline.records import POSITION
from driftline.services.stack import Stack
from driftline.storage import blockers, locks
from driftline.storage.connection import Connection, connect
from driftline.storage.forget import forget
from driftline.storage.log import compaction
from driftline.storage.log.ledger import Ledger
from driftline.storage.profiles import profile_rows
from driftline.storage.reconnect import TRANSIENT
from driftline.storage.tables import schema
from driftline.storage.versions import promotions
from tests.databases import superuser
from tests.hostile_reader import holding
from tests.integration.storage.conftest import FEATURES, MODEL


def writing(world: Any) -> Connection:
    """A connection as role `write` that does not wait long, so that what stalls fails."""
    patience = timedelta(seconds=5)
    return connect(world.config.postgres, "write", lock_timeout=patience, autocommit=True)


def test_a_reader_that_holds_all_it_can_stalls_nothing(world: Any) -> None:
    """Ledger, both compactions, first promotion, and migrations, also of a new model."""
    for _ in range(3):
        world.feed(20, rejected=1)
    with holding(world.config.postgres, MODEL):
        for _ in range(3):
            world.feed(20, rejected=1)
        with writing(world) as connection:
            assert profile_rows.compact(connection, MODEL).rows_before > 0
            assert compaction.compact(connection, MODEL, timedelta(0)) > 0
            promotions.record_first(connection, MODEL, 1, by="tester")
            assert [one.kind for one in promotions.decisions(connection, MODEL)] == ["first"]
        schema.migrate(world.config, {MODEL: FEATURES, "another": FEATURES})
        assert schema.expire(world.config) == []
    report = audit(world.config, MODEL, deep=True)
    assert report.ok, report.to_json()
    assert (report.events.logged, report.events.rejected) == (114, 6)


def test_what_a_reader_does_stall_names_it(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column can't be added, nor a chunk dropped, while a transaction reads the table."""
    world.feed(20)
    storage = world.config.storage.model_copy(update={"keep_rows": timedelta(days=1)})
    limited = world.config.model_copy(update={"storage": storage})
    monkeypatch.setattr(schema, "_LOCK_TIMEOUT", timedelta(seconds=3))
    with holding(world.config.postgres, MODEL) as reader:
        named = f"in use by session {reader.info.backend_pid} of role 'driftline_read'"
        with pytest.raises(SchemaError, match=named):
            schema.expire(limited)
    assert len(schema.expire(limited)) == 1


def test_compact_names_who_blocks_it(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a migration; role `write` sees less of its session than `migrate` does."""
    monkeypatch.setattr(blockers, "LOCK_TIMEOUT", timedelta(seconds=3))
    world.feed(20)
    world.feed(20)
    with connect(world.config.postgres, "migrate", application_name="psql") as other:
        other.execute("LOCK TABLE driftline.profile")
        with (
            pytest.raises(ServiceError) as raised,
            blockers.connect_with_lock_timeout(world.config.postgres, "write") as connection,
        ):
            profile_rows.compact(connection, MODEL)
        pid = other.info.backend_pid
    session = f"session {pid} of role 'driftline_migrate' (application 'psql')"
    assert f"a table is in use by {session}: the statement changed nothing" in str(raised.value)


def test_a_session_lock_has_one_owner_until_its_connection_ends(world: Any, stack: Stack) -> None:
    with writing(world) as one, writing(world) as other:
        assert locks.acquire(one, "canary", MODEL)
        assert not locks.acquire(one, "canary", MODEL)
        assert not locks.acquire(other, "canary", MODEL)
        assert locks.acquire(other, "canary", "another model")
        assert locks.acquire(other, "promotion", MODEL)
        locks.release(other, "canary", MODEL)  # of somebody else: nothing happens
        assert not locks.acquire(other, "canary", MODEL)
        locks.release(one, "canary", MODEL)
        assert locks.acquire(other, "canary", MODEL)
        with superuser(stack, world.config, "postgres") as administrator:
            pid = other.info.backend_pid
            administrator.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        assert locks.acquire(one, "canary", MODEL)
        with pytest.raises(psycopg.OperationalError):  # who has lost the lock can't write
            other.execute("SELECT 1")


def test_of_many_that_take_a_session_lock_at_once_one_gets_it(world: Any) -> None:
    """Also when its last owner is gone and left its row."""
    connections = [writing(world) for _ in range(8)]
    with ThreadPoolExecutor(len(connections)) as pool:
        for _ in range(20):
            with writing(world) as gone:
                assert locks.acquire(gone, "runner", "1")
                pid = gone.info.backend_pid
            wait_for_end(connections[0], pid)
            taken = list(pool.map(lambda one: locks.acquire(one, "runner", "1"), connections))
            assert taken.count(True) == 1
            locks.release(connections[taken.index(True)], "runner", "1")
    for connection in connections:
        connection.close()


def wait_for_end(connection: Connection, pid: int) -> None:
    """Until the server has seen that a session is gone."""
    deadline = time.monotonic() + 60
    query = "SELECT FROM pg_stat_activity WHERE pid = %s"
    while connection.execute(query, [pid]).fetchall():
        assert time.monotonic() < deadline, f"session {pid} is still there"
        time.sleep(0.01)


def test_a_session_lock_is_waited_for_and_its_owner_named(world: Any) -> None:
    with writing(world) as one, writing(world) as other:
        with locks.session(one, "promotion", MODEL):
            with (
                pytest.raises(ServiceError) as raised,
                locks.session(other, "promotion", MODEL, timedelta(seconds=0.2)),
            ):
                pass
            assert f"session {one.info.backend_pid} of role 'driftline_write'" in str(raised.value)
        with locks.session(other, "promotion", MODEL, timedelta(seconds=0.2)):
            pass
    assert world.sql("SELECT count(*) FROM driftline.lock WHERE backend_pid IS NOT NULL") == [(0,)]


def test_partitions_of_a_model_that_was_forgotten_are_not_claimed(world: Any) -> None:
    """There is no row left to lock: a new writer, which the error leads to, makes them again."""
    world.feed(1)
    positions = pa.RecordBatch.from_pydict(
        {"partition": [0], "offset": [7], "kafka_time": [datetime.now(UTC)]}, schema=POSITION
    )
    with connect(world.config.postgres, "write") as connection:
        ledger = Ledger(connection, MODEL, "events", world.section.input.topic)
        sources = ledger.sources(positions)
        assert ledger.claim(sources, positions).tolist() == [False]
        connection.rollback()
        with connect(world.config.postgres, "migrate") as owner:
            forget(owner, MODEL)
        with pytest.raises(TRANSIENT, match=f"'driftline forget {MODEL}' erased them"):
            ledger.claim(sources, positions)
    world.feed(1)


def test_first_migrations_at_once(empty_database: Any) -> None:
    """Nothing is there to be locked yet: they wait for each other where they create it."""
    config = empty_database()
    errors: list[Exception] = []

    def migrate() -> None:
        try:
            schema.migrate(config, {MODEL: FEATURES})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with connect(config.postgres, "read") as connection:
        schema.check(connection, MODEL, FEATURES)
