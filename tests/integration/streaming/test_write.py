"""What only the PostgreSQL writer promises; `tests/contracts` has what every sink does."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from driftline.config import Config
from driftline.errors import ServiceError
from driftline.profile.binning import Binning
from driftline.records import SHADOW, ScoredBatch
from driftline.storage import reconnect
from driftline.storage.connection import Connection, connect
from driftline.storage.log import compaction
from driftline.storage.log.insert import CAREFUL_BATCHES
from driftline.storage.log.write import Target, Writer
from driftline.storage.reconnect import Reconnecting
from driftline.streaming.sinks.timescale import TimescaleSink
from tests.contracts.messages import MODEL, Message, batch
from tests.contracts.model import migrated, reference_binning

_TOPICS = itertools.count()


@pytest.fixture(scope="module")
def binning() -> Binning:
    return reference_binning()


@pytest.fixture(scope="module")
def config(empty_database: Callable[[], Config]) -> Config:
    return migrated(empty_database())


@pytest.fixture
def topic() -> str:
    """A topic of this test's own."""
    return f"events-{next(_TOPICS)}"


@pytest.fixture
def connection(config: Config) -> Iterator[Connection]:
    with connect(config.postgres, "write") as connection:
        yield connection


@pytest.fixture
def writer(connection: Connection, binning: Binning, topic: str) -> Writer:
    return Writer(connection, Target(MODEL, topic, lambda _: binning, ("country",)))


@pytest.fixture
def query(config: Config) -> Callable[..., list[tuple[Any, ...]]]:
    """Runs a statement that reads; gives its rows."""

    def query(statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with connect(config.postgres, "read") as reader:
            reader.execute("SET timezone TO 'UTC'")
            return reader.execute(statement, values).fetchall()

    return query


Query = Callable[..., list[tuple[Any, ...]]]


def events(topic: str, offsets: range, partition: int = 0) -> list[Message]:
    """Events that no other test has; a minute apart."""
    start = datetime(2024, 3, 1)
    return [
        Message(partition, n, event_id=f"{topic}-{n}", time=start + timedelta(minutes=n))
        for n in offsets
    ]


LEDGER = """SELECT partition, first_offset, last_offset, offsets::text, logged, duplicate, rejected,
                   filtered
              FROM driftline.ledger JOIN driftline.source ON source.id = source
             WHERE topic = %s ORDER BY committed_at, partition"""


def test_the_ledger_has_one_row_a_write_and_partition(
    writer: Writer, topic: str, query: Query
) -> None:
    first = events(topic, range(3, 9))
    first[1] = replace(first[1], outcome="rejected")
    two = [replace(m, offset=m.offset + 50) for m in events(topic, range(5, 7), partition=1)]
    two[1] = replace(two[1], outcome="filtered")
    writer.write(batch([*first[:2], two[0], *first[3:], two[1]]))
    assert query(LEDGER, topic) == [
        (0, 3, 8, "{[3,5),[6,9)}", 4, 0, 1, 0),
        (1, 55, 56, "{[55,57)}", 1, 0, 0, 1),
    ]
    writer.write(batch(first))  # only the hole is new
    assert query(LEDGER, topic)[2:] == [(0, 5, 5, "{[5,6)}", 0, 1, 0, 0)]


def test_a_write_of_nothing_new_leaves_no_trace(writer: Writer, topic: str, query: Query) -> None:
    writer.write(batch(events(topic, range(3))))
    marks = query("SELECT count(*) FROM driftline.dirty_window")
    for _ in range(2):
        writer.write(batch(events(topic, range(3))))
    assert len(query(LEDGER, topic)) == 1
    assert query("SELECT count(*) FROM driftline.dirty_window") == marks


def test_each_partition_keeps_its_source(writer: Writer, topic: str, query: Query) -> None:
    for partition in (2, 0, 2, 1, 0):
        first = len(query(LEDGER, topic)) * 10
        writer.write(batch(events(topic, range(first, first + 2), partition)))
    sources = query("SELECT partition, stream FROM driftline.source WHERE topic = %s", topic)
    assert sorted(sources) == [(0, "events"), (1, "events"), (2, "events")]


def test_compacting_the_ledger_forgets_nothing(
    writer: Writer, topic: str, query: Query, config: Config
) -> None:
    for first in range(0, 30, 10):
        writer.write(batch(events(topic, range(first, first + 8))))
    with connect(config.postgres, "write", autocommit=True) as other:
        assert compaction.compact(other, MODEL, timedelta(0)) >= 1
    holes = "{[0,8),[10,18),[20,28)}"
    assert query(LEDGER, topic) == [(0, 0, 27, holes, 24, 0, 0, 0)]
    stored = writer.write(batch(events(topic, range(30))))
    assert (stored.logged, stored.repeated) == (6, 24)


def test_changed_minutes_are_marked(writer: Writer, topic: str, query: Query) -> None:
    messages = events(topic, range(6))
    messages[4] = replace(messages[4], outcome="rejected")
    writer.write(batch(messages[:1]))
    writer.write(batch(messages))
    minute = int(messages[0].time.replace(tzinfo=UTC).timestamp()) // 60
    marked = query("SELECT minutes::text FROM driftline.dirty_window ORDER BY id DESC LIMIT 2")
    assert marked == [
        (f"{{[{minute + 1},{minute + 4}),[{minute + 5},{minute + 6})}}",),
        (f"{{[{minute},{minute + 1})}}",),
    ]


def test_each_version_has_its_profile(
    writer: Writer, topic: str, query: Query, binning: Binning
) -> None:
    day = timedelta(days=1_000)
    messages = [replace(m, time=m.time + day) for m in events(topic, range(6))]
    scored = batch(messages)
    versions = pa.array([4, 4, 5, 5, 5, 5], pa.int32())
    changed = scored.predictions.set_column(
        scored.predictions.schema.get_field_index("model_version"),
        scored.predictions.schema.field("model_version"),
        versions,
    )
    writer.write(replace(scored, predictions=changed))
    start = messages[0].time.replace(tzinfo=UTC)
    rows = query(
        """SELECT version, binning_id, role, span_minutes, sum(rows)::int FROM driftline.profile
            WHERE segment = '' AND bucket BETWEEN %s AND %s GROUP BY 1, 2, 3, 4 ORDER BY 1""",
        start,
        start + timedelta(hours=1),
    )
    assert rows == [(4, binning.id, "served", 1, 2), (5, binning.id, "served", 1, 4)]


def test_without_a_binning_there_are_no_profiles(
    connection: Connection, topic: str, query: Query
) -> None:
    count_before = query("SELECT count(*) FROM driftline.profile")
    stored = Writer(connection, Target(MODEL, topic, None)).write(batch(events(topic, range(5))))
    assert stored.logged == 5
    assert query("SELECT count(*) FROM driftline.profile") == count_before


def test_duplicates_are_kept_with_their_event(writer: Writer, topic: str, query: Query) -> None:
    [message] = events(topic, range(1))
    writer.write(batch([message, replace(message, offset=1), replace(message, offset=2)]))
    rows = query(
        """SELECT kafka_offset, event_id, event_time FROM driftline.duplicate
             JOIN driftline.source ON source.id = source WHERE topic = %s ORDER BY 1""",
        topic,
    )
    assert rows == [(n, message.event_id, message.time.replace(tzinfo=UTC)) for n in (1, 2)]


def test_conflicts_before_and_after_the_careful_time(writer: Writer, topic: str) -> None:
    """Both ways of inserting find the conflict, and go on after it."""
    original = events(topic, range(3))
    writer.write(batch(original))
    n = itertools.count(100)
    for _ in range(2):
        again = [replace(m, offset=next(n)) for m in original]
        stored = writer.write(batch(again))
        assert (stored.logged, stored.duplicate) == (0, 3)
        for _ in range(CAREFUL_BATCHES):
            [new] = events(topic, range(first := next(n), first + 1))
            assert writer.write(batch([new])).logged == 1
        again = [replace(original[0], offset=next(n)), replace(original[1], offset=next(n))]
        assert writer.write(batch(again)).duplicate == 2


def broken(scored: ScoredBatch) -> ScoredBatch:
    """A batch that PostgreSQL refuses: the decoder lets no such text pass."""
    index = scored.predictions.schema.get_field_index("country")
    texts = pa.array(["a\0b"] * len(scored.predictions))
    changed = scored.predictions.set_column(
        index, scored.predictions.schema.field("country"), texts
    )
    return replace(scored, predictions=changed)


def test_a_write_that_fails_leaves_nothing(writer: Writer, topic: str, query: Query) -> None:
    messages = events(topic, range(5))
    messages[1] = replace(messages[1], outcome="rejected")
    with pytest.raises(psycopg.DataError):
        writer.write(broken(batch(messages)))
    assert query(LEDGER, topic) == []
    rejected = "SELECT count(*) FROM driftline.rejected JOIN driftline.source ON source.id = source"
    assert query(f"{rejected} WHERE topic = %s", topic) == [(0,)]
    # the writer goes on
    stored = writer.write(batch(messages))
    assert (stored.logged, stored.repeated) == (4, 0)


def test_what_no_retry_mends_is_raised_at_once(config: Config, topic: str) -> None:
    """A table that is missing will be missing the next time too."""
    calls = []

    def write(writer: Writer) -> None:
        calls.append(1)
        writer.write(batch(events(topic, range(1))))

    target = Target("unknown", topic, None)
    writers = Reconnecting(config.postgres, lambda connection: Writer(connection, target))
    with pytest.raises(psycopg.errors.UndefinedTable):
        writers.call(write)
    writers.close()
    assert len(calls) == 1


def test_giving_up_names_the_address(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconnect, "GIVE_UP", timedelta(seconds=0.5))
    nowhere = config.postgres.model_copy(update={"host": "127.0.0.1", "port": 1})
    writers = Reconnecting(nowhere, lambda connection: connection)
    with pytest.raises(ServiceError, match=r"^can't connect to PostgreSQL at '127.0.0.1:1': "):
        writers.call(lambda connection: connection)


@pytest.fixture
def sink(
    config: Config, binning: Binning, topic: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TimescaleSink]:
    """A sink that waits for a lock only briefly, then tries again."""
    monkeypatch.setattr(reconnect, "LOCK_TIMEOUT", timedelta(milliseconds=100))
    model = config.model(MODEL)
    own = model.model_copy(update={"input": model.input.model_copy(update={"topic": topic})})
    sink = TimescaleSink(
        config.model_copy(update={"models": {MODEL: own}}), MODEL, lambda _: binning
    )
    yield sink
    sink.close()


def test_a_zombie_that_holds_the_partition_is_waited_for(
    sink: TimescaleSink, config: Config, topic: str, query: Query
) -> None:
    sink.write(batch(events(topic, range(3))))
    [(source,)] = query("SELECT id FROM driftline.source WHERE topic = %s", topic)
    with connect(config.postgres, "write") as zombie:
        zombie.execute("SELECT FROM driftline.source WHERE id = %s FOR UPDATE", [source])
        started = time.monotonic()
        threading.Timer(0.7, zombie.rollback).start()
        stored = sink.write(batch(events(topic, range(6))))
        assert time.monotonic() - started > 0.6
    assert (stored.logged, stored.repeated) == (3, 3)


@pytest.mark.parametrize("ending", ["commit", "rollback"])
def test_a_zombie_with_the_same_events_is_waited_for(
    sink: TimescaleSink, config: Config, topic: str, query: Query, ending: str
) -> None:
    """Its transaction may still commit: only then the events are duplicates."""
    messages = events(topic, range(20))
    elsewhere = [replace(m, partition=1) for m in messages]
    with connect(config.postgres, "write") as connection:
        zombie = threading.Event()

        def hold() -> None:
            try:
                with connection.transaction():
                    Writer(connection, Target(MODEL, topic, None)).write(batch(elsewhere))
                    zombie.set()
                    time.sleep(0.7)
                    if ending == "rollback":
                        raise psycopg.Rollback
            finally:
                zombie.set()

        thread = threading.Thread(target=hold)
        thread.start()
        assert zombie.wait(10)
        stored = sink.write(batch(messages))
        thread.join()
    expected = (0, 20) if ending == "commit" else (20, 0)
    assert (stored.logged, stored.duplicate) == expected
    logged = query(
        f"""SELECT count(*) FROM driftline.prediction_{MODEL}
              JOIN driftline.source ON source.id = source WHERE topic = %s""",
        topic,
    )
    assert logged == [(20,)]


def test_lag_is_never_negative(writer: Writer, topic: str, query: Query) -> None:
    scored = batch(events(topic, range(2)))
    hour = np.timedelta64(1, "h")
    now = np.datetime64("now", "us")
    field = scored.positions.schema.field("kafka_time")
    moved = pa.array(np.array([now + hour, now - hour]), field.type)
    positions = scored.positions.set_column(2, field, moved)
    writer.write(replace(scored, positions=positions))
    lags = query(
        f"SELECT lag_ms FROM driftline.prediction_{MODEL} WHERE event_id LIKE %s ORDER BY event_id",
        f"{topic}-%",
    )
    assert lags[0] == (0.0,)
    assert abs(lags[1][0] - 3_600_000) < 60_000


def shadowed(scored: ScoredBatch, versions: tuple[int, ...]) -> ScoredBatch:
    """The batch with what each version said of every prediction, nothing for the first."""
    n = len(scored.predictions)
    messages = [
        {
            "prediction": row,
            "model_version": version,
            "role": "shadow",
            "score": None if row == 0 else version + row / 100,
            "outputs": '{"p":[1]}',
            "scored_at": datetime(2024, 2, 1, tzinfo=UTC),
            "inference_ms": 2.5,
        }
        for version in versions
        for row in range(n)
    ]
    return replace(scored, shadows=pa.RecordBatch.from_pylist(messages, schema=SHADOW))


SHADOWS = """SELECT event_id, model_version, role, score, outputs, kafka_offset, inference_ms
               FROM driftline.shadow_{} WHERE event_id LIKE %s ORDER BY 6, 2""".format(
    MODEL.replace("-", "_")
)


def test_shadows_are_stored_once_for_what_is_logged(
    writer: Writer, topic: str, query: Query
) -> None:
    messages = events(topic, range(6))
    messages[1] = replace(messages[1], outcome="rejected")
    writer.write(shadowed(batch(messages[:3]), (8, 9)))
    shadows = query(SHADOWS, f"{topic}-%")
    assert shadows == [
        (f"{topic}-{n}", version, "shadow", score and version + score, {"p": [1]}, n, 2.5)
        for n, score in ((0, None), (2, 0.01))
        for version in (8, 9)
    ]
    # the first ones again, and a duplicate of one at another offset: nothing for those
    again = [*messages, replace(messages[2], offset=50)]
    stored = writer.write(shadowed(batch(again), (8,)))
    assert (stored.logged, stored.duplicate, stored.repeated) == (3, 1, 3)
    assert [row[:2] for row in query(SHADOWS, f"{topic}-%")[4:]] == [
        (f"{topic}-{n}", 8) for n in (3, 4, 5)
    ]


def test_shadows_have_profiles_of_their_own(writer: Writer, topic: str, query: Query) -> None:
    day = timedelta(days=2_000)
    messages = [replace(m, time=m.time + day) for m in events(topic, range(4))]
    writer.write(shadowed(batch(messages), (8, 9)))
    start = messages[0].time.replace(tzinfo=UTC)
    rows = query(
        """SELECT version, role, sum(rows)::int FROM driftline.profile
            WHERE segment = '' AND bucket BETWEEN %s AND %s GROUP BY 1, 2 ORDER BY 1""",
        *(start, start + timedelta(minutes=10)),
    )
    assert rows == [(3, "served", 4), (8, "shadow", 4), (9, "shadow", 4)]
