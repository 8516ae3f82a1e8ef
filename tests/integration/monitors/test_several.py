"""Runners that are killed, and several at once: no window is missed, none is judged twice."""

import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from driftline.config import Config
from driftline.config.monitors import Runner as Settings
from driftline.monitors.running.backfill import backfill
from driftline.monitors.running.runner import Runner, shard_of, share_of
from driftline.services.stack import Stack
from driftline.storage import locks
from driftline.storage.connection import connect
from tests.databases import superuser
from tests.hostile_reader import holding
from tests.integration.monitors.conftest import HOUR, START, Stream, monitors, store_reference
from tests.integration.monitors.running import start, wait_for

HOURS = 30


@pytest.fixture
def stream(make_stream: Any) -> Stream:
    created: Stream = make_stream(monitors=monitors(lateness="0 s"))
    for number in range(HOURS):
        created.hour(number, n=60)
    created.hour(HOURS, n=1)
    quick = Settings(poll_interval=timedelta(milliseconds=200))
    created.config = created.config.model_copy(update={"runner": quick})
    return created


def count(stream: Stream, table: str = "judged_window") -> int:
    return int(
        stream.sql(f"SELECT count(*) FROM driftline.{table} WHERE window_seconds = 3600")[0][0]
    )


def test_killed_in_the_middle(stream: Stream, stack: Stack, tmp_path: Path) -> None:
    """The database is slowed down in the middle of a round, and the runner is killed there."""
    stream.sql(
        """CREATE FUNCTION driftline.slow() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END $$"""
    )
    stream.sql(
        "CREATE TRIGGER slow BEFORE INSERT ON driftline.judged_window"
        " FOR EACH ROW EXECUTE FUNCTION driftline.slow()"
    )
    child = start(stream.config, tmp_path)
    try:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = %s"
        database = stream.config.postgres.database
        with superuser(stack, Config(state=stack.folder), "postgres") as connection:
            wait_for(lambda: connection.execute(waiting, [database]).fetchall())
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    stream.sql("DROP TRIGGER slow ON driftline.judged_window")
    stream.sql("DROP FUNCTION driftline.slow()")
    assert count(stream) == 0  # all of a round, or nothing
    Runner(stream.config).run(once=True)
    assert count(stream) == HOURS
    assert stream.sql("SELECT max(revision) FROM driftline.judged_window") == [(0,)]
    assert count(stream, "verdict_history") == 0
    assert stream.sql("SELECT count(*) FROM driftline.dirty_window") == [(0,)]


def test_another_takes_over_and_the_first_ends_cleanly(stream: Stream, tmp_path: Path) -> None:
    first = start(stream.config, tmp_path)
    second = None
    try:
        wait_for(lambda: count(stream) == HOURS)
        second = start(stream.config, tmp_path)
        wait_for(lambda: len(stream.sql("SELECT * FROM driftline.runner")) == 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
        stream.hour(HOURS, n=50)
        stream.hour(HOURS + 1, n=1)
        wait_for(lambda: count(stream) == HOURS + 1)
        second.send_signal(signal.SIGTERM)
        assert second.wait(60) == 0
        left = stream.sql("SELECT stopped_at IS NOT NULL FROM driftline.runner ORDER BY 1")
        assert left == [(False,), (True,)]  # the first one was killed
    finally:
        for child in (first, second):
            if child is not None and child.poll() is None:
                child.kill()
                child.wait()
    assert stream.sql("SELECT max(revision) FROM driftline.judged_window") == [(0,)]


NAMES = [f"m{i}" for i in range(8)]
SHARDS = {shard_of(name, 16) for name in NAMES}


def several(stream: Stream, hours: int = 3) -> Config:
    """Eight models with the rows of the first hours of the one."""
    models = dict.fromkeys(NAMES, stream.section)
    config = stream.config.model_copy(update={"models": models})
    for name in NAMES:
        store_reference(config, name)
    count_hours(stream, 0, hours)
    return config


def count_hours(stream: Stream, first: int, end: int) -> None:
    for name in NAMES:
        stream.sql(
            """INSERT INTO driftline.profile (bucket, model, span_minutes, version, role, segment,
                                              binning_id, rows, cells)
               SELECT bucket, %s, span_minutes, version, role, segment, binning_id, rows, cells
                 FROM driftline.profile WHERE model = 'fraud' AND bucket >= %s AND bucket < %s""",
            name,
            START + first * HOUR,
            START + end * HOUR,
        )


def test_two_share_the_models(stream: Stream) -> None:
    config = several(stream)
    first, second = Runner(config), Runner(config)
    first.round()
    assert first._shards == SHARDS
    second.round()  # registers itself
    for _ in range(3):
        first.round()
        second.round()
    assert first._shards | second._shards == SHARDS
    assert not first._shards & second._shards
    assert abs(len(first._shards) - len(second._shards)) <= 1
    judged = stream.sql(
        "SELECT model, count(*), max(revision) FROM driftline.judged_window GROUP BY 1 ORDER BY 1"
    )
    assert judged == [(name, 2, 0) for name in NAMES]
    first.close()
    second.round()
    assert second._shards == SHARDS
    second.close()


@pytest.mark.parametrize("first", ["all", "one"])
def test_a_runner_of_one_model_leaves_no_other_unjudged(stream: Stream, first: str) -> None:
    """Whoever came first, and though the two share a shard with different models of it."""
    config = several(stream).model_copy(update={"runner": Settings(shards=3)})
    beside = next(n for n in NAMES if sum(shard_of(n, 3) == shard_of(o, 3) for o in NAMES) > 1)
    runners = [Runner(config), Runner(config, [beside])]
    if first == "one":
        runners.reverse()
    for _ in range(4):
        for runner in runners:
            runner.round()
    count_hours(stream, 3, 5)
    for runner in runners:
        runner.round(everything=True)
    judged = stream.sql(
        "SELECT model, count(*), max(revision) FROM driftline.judged_window GROUP BY 1 ORDER BY 1"
    )
    assert judged == [(name, 5, 0) for name in NAMES]
    for runner in runners:
        runner.close()


def test_a_model_that_another_judges_is_waited_for(stream: Stream) -> None:
    runner = Runner(stream.config)
    with (
        connect(stream.config.postgres, "write") as connection,
        locks.transaction(connection, "round", stream.name),
    ):
        done = runner.round(everything=True)
        assert (done.windows, done.failed, done.busy, done.more) == (0, 0, 1, True)
    runner.run(once=True)
    assert count(stream) == HOURS


def test_a_reader_that_holds_all_it_can_stops_no_runner(stream: Stream) -> None:
    """Neither shares nor presence, nor the rounds of runners and backfills."""
    config = several(stream)
    shares = {share for name in NAMES for share in share_ids(name)}
    first, second = Runner(config), Runner(config)
    with holding(config.postgres, *NAMES, first.id, second.id, shares=tuple(shares)):
        for runner in (first, second, first, second, first):
            runner.round()
        assert first._shards | second._shards == SHARDS
        assert first._shards
        assert second._shards
        assert not first._shards & second._shards
        assert backfill(config, NAMES[0], START, START + 2 * HOUR) == 2
        first.close()
        second.round()
        assert second._shards == SHARDS
    second.close()
    judged = stream.sql("SELECT model, count(*) FROM driftline.judged_window GROUP BY 1 ORDER BY 1")
    assert judged == [(name, 2) for name in NAMES]


def share_ids(name: str) -> set[int]:
    """What a runner of all models calls its share of a model's shard."""
    shard = shard_of(name, 16)
    return {share_of(shard, [other for other in NAMES if shard_of(other, 16) == shard])}


def test_a_lost_connection_is_made_anew(stream: Stream, stack: Stack) -> None:
    runner = Runner(stream.config)
    runner.round()
    with superuser(stack, Config(state=stack.folder), "postgres") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'driftline-monitor' AND datname = %s",
            [stream.config.postgres.database],
        )
    stream.hour(HOURS, n=10)
    stream.hour(HOURS + 1, n=1)
    runner.run(once=True)
    assert count(stream) == HOURS + 1
