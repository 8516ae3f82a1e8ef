"""What every sink must do: durable on return, idempotent, the row that came first stays.

A new sink joins by a line in `tests.contracts.stores.STORES`.
"""

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftline.records import PUBLISHED, StoredBatch
from driftline.streaming.sinks import SINKS, Sink
from tests.contracts.messages import Message, batch, expected
from tests.contracts.stores import STORES, Store


def events(store: Store, offsets: Iterable[int], partition: int = 0, **more: Any) -> list[Message]:
    """An event of its own at each offset, three seconds apart."""
    return [
        Message(
            partition,
            offset,
            event_id=f"{partition}-{offset}",
            time=store.start + timedelta(seconds=3 * (offset % 1_000)),
            score=(offset % 10) / 10,
            amount=None if offset % 7 == 0 else float(offset % 50),
            country=["de", "fr", "it", None][offset % 4],
            **more,
        )
        for offset in offsets
    ]


def write(sink: Sink, messages: Sequence[Message]) -> StoredBatch:
    stored = sink.write(batch(messages))
    assert stored.predictions.schema == PUBLISHED
    assert len(stored.predictions) == len(stored.messages) == len(set(stored.messages.tolist()))
    return stored


def published(stored: StoredBatch) -> dict[int, tuple[Any, ...]]:
    """The rows that go downstream, by message."""
    rows = [
        (
            row["event_time"].astimezone(UTC).replace(tzinfo=None),
            row["event_id"],
            row["model_version"],
            row["score"],
            row["outputs"] and json.loads(row["outputs"]),
        )
        for row in stored.predictions.to_pylist()
    ]
    return dict(zip(stored.messages.tolist(), rows, strict=True))


def row(message: Message) -> tuple[Any, ...]:
    """What goes downstream for the message whose row is stored."""
    outputs = message.outputs and json.loads(message.outputs)
    return message.time, message.event_id, 3, message.score, outputs


def counts(stored: StoredBatch) -> tuple[int, int, int]:
    return stored.logged, stored.duplicate, stored.repeated


def test_every_sink_is_here() -> None:
    assert STORES.keys() == SINKS.keys()


def test_one_batch(store: Store) -> None:
    messages = events(store, range(10, 30))
    stored = write(store.sink(), messages)
    assert published(stored) == {n: row(message) for n, message in enumerate(messages)}
    assert counts(stored) == (20, 0, 0)
    store.check(expected([messages]))


def test_the_same_batch_twice(store: Store) -> None:
    messages = events(store, range(20))
    sink = store.sink()
    first, second = write(sink, messages), write(sink, messages)
    assert published(second) == published(first)
    assert counts(second) == (0, 0, 20)
    store.check(expected([messages]))


def test_the_same_batch_from_a_new_sink(store: Store) -> None:
    messages = events(store, range(20))
    first, second = write(store.sink(), messages), write(store.sink(), messages)
    assert published(second) == published(first)
    store.check(expected([messages]))


def test_overlapping_batches(store: Store) -> None:
    writes = [events(store, range(*span)) for span in ((5, 15), (10, 20), (0, 30), (7, 8))]
    sink = store.sink()
    found = [write(sink, messages) for messages in writes]
    assert [counts(stored) for stored in found] == [(10, 0, 0), (5, 0, 5), (15, 0, 15), (0, 0, 1)]
    for messages, stored in zip(writes, found, strict=True):
        assert published(stored) == {n: row(message) for n, message in enumerate(messages)}
    store.check(expected(writes))


def test_a_replay_gives_the_stored_rows_not_the_new_ones(store: Store) -> None:
    messages = events(store, range(10))
    sink = store.sink()
    first = write(sink, messages)
    again = [replace(message, score=message.score + 5, amount=99.0) for message in messages]
    assert published(write(sink, again)) == published(first)
    store.check(expected([messages, again]))


def test_an_outcome_stays_whatever_comes_later(store: Store) -> None:
    first = events(store, range(6))
    first[1] = replace(first[1], outcome="rejected")
    first[2] = replace(first[2], outcome="filtered")
    later = events(store, range(6))
    later[3] = replace(later[3], outcome="rejected")
    later[4] = replace(later[4], outcome="filtered")
    sink = store.sink()
    write(sink, first)
    stored = write(sink, later)
    assert counts(stored) == (0, 0, 6)
    assert published(stored) == {n: row(first[n]) for n in (0, 3, 4, 5)}
    store.check(expected([first, later]))


def test_duplicates_in_one_batch(store: Store) -> None:
    messages = events(store, range(4))
    again = [replace(messages[n], offset=10 + n, score=9.0) for n in (2, 0, 2)]
    again = [replace(message, offset=10 + n) for n, message in enumerate(again)]
    stored = write(store.sink(), messages + again)
    assert counts(stored) == (4, 3, 0)
    assert published(stored) == {n: row(message) for n, message in enumerate(messages)}
    store.check(expected([messages + again]))


def test_the_first_of_equals_stays_wherever_it_stands_in_the_batch(store: Store) -> None:
    [message] = events(store, [7])
    equals = [replace(message, offset=offset, score=float(offset)) for offset in (9, 7, 8)]
    stored = write(store.sink(), equals)
    assert published(stored) == {1: row(equals[1])}
    store.check(expected([sorted(equals, key=lambda m: m.offset)]))


def test_duplicates_of_earlier_batches(store: Store) -> None:
    first = events(store, range(5))
    second = [replace(message, offset=message.offset + 5, score=9.0) for message in first]
    third = events(store, range(10, 15))
    sink = store.sink()
    write(sink, first)
    stored = write(sink, second + third)
    assert counts(stored) == (5, 5, 0)
    assert published(stored) == {5 + n: row(message) for n, message in enumerate(third)}
    assert counts(write(sink, second)) == (0, 0, 5)
    store.check(expected([first, second, third]))


def test_the_same_id_at_another_time_is_another_event(store: Store) -> None:
    [message] = events(store, [0])
    later = timedelta(microseconds=1)
    messages = [replace(message, offset=n, time=message.time + n * later) for n in range(3)]
    stored = write(store.sink(), messages)
    assert counts(stored) == (3, 0, 0)
    store.check(expected([messages]))


def test_another_id_at_the_same_time_is_another_event(store: Store) -> None:
    messages = [Message(0, n, event_id=name, time=store.start) for n, name in enumerate("aAä ")]
    assert counts(write(store.sink(), messages)) == (4, 0, 0)
    store.check(expected([messages]))


def test_duplicates_of_rejected_and_filtered_events_are_the_first(store: Store) -> None:
    [message] = events(store, [0])
    messages = [
        replace(message, outcome="rejected"),
        replace(message, offset=1, outcome="filtered"),
        replace(message, offset=2),
        replace(message, offset=3),
    ]
    assert counts(write(store.sink(), messages)) == (1, 1, 0)
    store.check(expected([messages]))


def test_rejected_and_filtered(store: Store) -> None:
    messages = events(store, range(12))
    for n in range(0, 12, 3):
        messages[n + 1] = replace(messages[n + 1], outcome="rejected")
        messages[n + 2] = replace(messages[n + 2], outcome="filtered")
    sink = store.sink()
    for again in (0, 1):
        stored = write(sink, messages)
        assert published(stored) == {n: row(messages[n]) for n in (0, 3, 6, 9)}
        assert counts(stored) == ((4, 0, 0), (0, 0, 12))[again]
    store.check(expected([messages]))


@pytest.mark.parametrize("outcome", ["rejected", "filtered"])
def test_a_batch_without_predictions(store: Store, outcome: Any) -> None:
    messages = events(store, range(5), outcome=outcome)
    sink = store.sink()
    for repeated in (0, 5):
        stored = write(sink, messages)
        assert counts(stored) == (0, 0, repeated)
        assert published(stored) == {}
    store.check(expected([messages]))


def test_an_empty_batch(store: Store) -> None:
    sink = store.sink()
    assert counts(write(sink, [])) == (0, 0, 0)
    messages = events(store, range(3))
    write(sink, messages)
    assert counts(write(sink, [])) == (0, 0, 0)
    store.check(expected([messages]))


def test_offsets_with_holes_from_several_partitions(store: Store) -> None:
    """Transactions take offsets too; a batch brings what the reader had."""
    one = events(store, [3, 5, 6, 9, 2_000_000_000_000])
    two = events(store, [0, 1, 7], partition=4)
    mixed = [one[0], two[0], one[1], one[2], two[1], one[3], two[2], one[4]]
    between = events(store, [4, 8]) + events(store, [2, 3], partition=4)
    sink = store.sink()
    assert counts(write(sink, mixed)) == (8, 0, 0)
    assert counts(write(sink, between)) == (4, 0, 0)
    assert counts(write(sink, mixed + between)) == (0, 0, 12)
    store.check(expected([mixed, between]))


def test_partitions_that_appear_one_by_one(store: Store) -> None:
    sink = store.sink()
    writes = [events(store, range(3), partition) for partition in (2, 0, 1)]
    writes += [events(store, range(3, 5), partition) for partition in (0, 2, 1)]
    for messages in writes:
        write(sink, messages)
    store.check(expected(writes))


EXTREMES = [
    {"score": 1e308},
    {"score": -5e-324},
    {"score": -0.0},
    {"amount": float("inf")},
    {"amount": float("-inf")},
    {"amount": 1e308},
    {"amount": -0.0},
    {"amount": None, "country": None},
    {"country": ""},
    {"country": "日本 😀 \\N \t\n\r \" ' \x01"},
    {"country": "x" * 1_000_000},
    {"event_id": "é" * 512},
    {"event_id": "😀" * 512},
    {"event_id": " "},
    {"outputs": '{"b":[0.25,1e-300],"a":null,"ä":"\\u00e9\\n"}'},
    {"outputs": "{}"},
    {"offset": 2**62},
    {"partition": 2**31 - 1},
]


def test_values_come_back_as_they_are(store: Store) -> None:
    base = events(store, range(len(EXTREMES)))
    messages = [
        replace(message, **extreme)  # type: ignore[arg-type]
        for message, extreme in zip(base, EXTREMES, strict=True)
    ]
    sink = store.sink()
    first, second = write(sink, messages), write(sink, messages)
    assert published(first) == {n: row(message) for n, message in enumerate(messages)}
    assert published(second) == published(first)
    store.check(expected([messages]))


@pytest.mark.parametrize(
    "time", [datetime(1, 1, 2), datetime(1500, 2, 28), datetime(9999, 12, 29, 23, 59, 59, 999_999)]
)
def test_event_times_centuries_away(store: Store, time: datetime) -> None:
    topic = store.start.isoformat()  # the event must be new in every part of the store
    message = Message(0, 0, event_id=topic, time=time)
    sink = store.sink()
    first, second = write(sink, [message]), write(sink, [message])
    assert published(first) == published(second) == {0: row(message)}
    assert counts(second) == (0, 0, 1)


def test_a_large_batch(store: Store) -> None:
    messages = events(store, range(70_000))
    messages = [replace(m, event_id=str(m.offset), outputs=None) for m in messages]
    sink = store.sink()
    assert counts(write(sink, messages)) == (70_000, 0, 0)
    assert counts(write(sink, messages[60_000:])) == (0, 0, 10_000)
    store.check(expected([messages]))


def test_closing_is_no_end(store: Store) -> None:
    sink = store.sink()
    sink.close()
    write(sink, events(store, range(3)))
    sink.close()
    sink.close()
    write(sink, events(store, range(3, 6)))
    sink.close()
    store.check(expected([events(store, range(6))]))


def test_the_batch_is_not_changed(store: Store) -> None:
    scored = batch(events(store, range(10)))
    positions = pa.RecordBatch.from_pylist(scored.positions.to_pylist(), scored.positions.schema)
    sink = store.sink()
    sink.write(scored)
    sink.write(scored)
    assert scored.positions == positions
    assert scored.messages.tolist() == list(range(10))


# Any stream, delivered in any batches, some of them again.

PLAN = st.lists(
    st.tuples(
        st.integers(0, 1),  # partition
        st.integers(1, 3),  # offsets since the last message of the partition
        st.sampled_from(["event", "event", "event", "rejected", "filtered"]),
        st.integers(0, 5),  # which event: some come again
        st.integers(0, 3),  # at which minute
    ),
    max_size=25,
)


def stream(store: Store, plan: list[tuple[int, int, Any, int, int]]) -> list[Message]:
    offsets = [-1, -1]
    messages: list[Message] = []
    for partition, step, outcome, event, minute in plan:
        offsets[partition] += step
        messages.append(
            Message(
                partition,
                offsets[partition],
                outcome,
                event_id=f"{partition}-{event}",
                time=store.start + timedelta(minutes=minute),
                score=len(messages) / 10,
                amount=float(event),
                country=["de", "fr", None][event % 3],
            )
        )
    return messages


@given(st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_split_into_batches_gives_the_same_store(
    new_store: Callable[[], Store], data: st.DataObject
) -> None:
    store = new_store()
    messages = stream(store, data.draw(PLAN))
    cuts = data.draw(st.lists(st.integers(0, len(messages)), max_size=6))
    sink = store.sink()
    seen: dict[tuple[int, int], tuple[Any, ...]] = {}
    for start, end in itertools.pairwise(sorted({0, *cuts, len(messages)})):
        # a restart goes back to a checkpoint, and scores may have changed since
        back = data.draw(st.integers(0, start))
        score = data.draw(st.sampled_from([0.0, 7.0]))
        again = [replace(m, score=m.score + score) for m in messages[back:start]]
        delivered = again + messages[start:end]
        for n, found in published(write(sink, delivered)).items():
            position = delivered[n].position
            assert seen.setdefault(position, found) == found
    sink.close()
    known = expected([messages])
    logged = {message.position: row(message) for message in known.logged.values()}
    assert seen == logged
    store.check(known)


# Two workers at once, as after a failure that only looked like one.


def run_together(*works: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result(120)


def test_two_writers_of_the_same_batches(store: Store) -> None:
    batches = [events(store, range(start, start + 100)) for start in range(0, 1_000, 100)]
    found: list[list[StoredBatch]] = [[], []]
    start = threading.Barrier(2)

    def work(number: int) -> None:
        sink = store.sink()
        start.wait()
        for messages in batches:
            found[number].append(write(sink, messages))
        sink.close()

    run_together(lambda: work(0), lambda: work(1))
    for messages, *both in zip(batches, *found, strict=True):
        assert sum(stored.logged for stored in both) == 100
        assert sum(stored.repeated for stored in both) == 100
        assert published(both[0]) == published(both[1])
        assert published(both[0]) == {n: row(message) for n, message in enumerate(messages)}
    store.check(expected(batches))


def test_two_writers_of_overlapping_batches_with_other_scores(store: Store) -> None:
    found: list[dict[tuple[int, int], tuple[Any, ...]]] = [{}, {}]
    start = threading.Barrier(2)

    def work(number: int) -> None:
        sink = store.sink()
        start.wait()
        for first in range(0, 600, 60 + 7 * number):
            messages = events(store, range(first, min(first + 100, 600)))
            messages = [replace(m, score=m.score + number) for m in messages]
            stored = published(write(sink, messages))
            found[number] |= {messages[n].position: rows for n, rows in stored.items()}
        sink.close()

    run_together(lambda: work(0), lambda: work(1))
    assert found[0] == found[1]
    assert len(found[0]) == 600
    winners = [
        replace(message, score=found[0][message.position][3])
        for message in events(store, range(600))
    ]
    store.check(expected([winners]))


def test_two_writers_with_the_same_events_in_opposite_order(store: Store) -> None:
    """Their transactions wait for each other's rows: a deadlock is resolved, nothing is lost."""
    start = threading.Barrier(2)
    found: list[list[StoredBatch]] = [[], []]

    def work(number: int) -> None:
        sink = store.sink()
        start.wait()
        for first in range(0, 1_000, 200):
            named = events(store, range(first, first + 200))
            if number:
                named = [replace(m, partition=1, offset=n) for n, m in
                         enumerate(reversed(named), start=first)]  # fmt: skip
            found[number].append(write(sink, named))
        sink.close()

    run_together(lambda: work(0), lambda: work(1))
    both = [stored for stores in found for stored in stores]
    assert sum(stored.logged for stored in both) == 1_000
    assert sum(stored.duplicate for stored in both) == 1_000
    logged = [
        (number, int(message) + 200 * n)
        for number, stores in enumerate(found)
        for n, stored in enumerate(stores)
        for message in stored.messages
    ]
    ones, others = events(store, range(1_000)), []
    for first in range(0, 1_000, 200):
        some = events(store, range(first, first + 200))
        others += [replace(m, partition=1, offset=n) for n, m in
                   enumerate(reversed(some), start=first)]  # fmt: skip
    winners = [(ones, others)[number][offset] for number, offset in logged]
    store.check(expected([winners, ones, others]))


# Connections that end at any moment.


def test_connections_cut_between_writes(store: Store) -> None:
    sink = store.sink()
    writes = [events(store, range(start, start + 10)) for start in range(0, 50, 10)]
    for messages in writes:
        assert counts(write(sink, messages)) == (10, 0, 0)
        assert store.disconnect() >= 1
    store.check(expected(writes))


def test_connections_cut_during_writes(store: Store) -> None:
    writes = [events(store, range(start, start + 400)) for start in range(0, 8_000, 400)]
    writes = [[replace(m, event_id=str(m.offset)) for m in messages] for messages in writes]
    done = threading.Event()
    cut = []

    def disturb() -> None:
        while not done.wait(0.15):
            cut.append(store.disconnect())

    def work() -> None:
        sink = store.sink()
        try:
            for messages in writes:
                stored = published(write(sink, messages))
                assert stored == {n: row(message) for n, message in enumerate(messages)}
        finally:
            done.set()
        sink.close()

    run_together(work, disturb)
    assert sum(cut) >= 1
    store.check(expected(writes))


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("times", [1, 3])
def test_connections_cut_at_commit(store: Store, after: bool, times: int) -> None:
    first, second, third = (events(store, range(start, start + 20)) for start in (0, 20, 40))
    with store.cutting() as (through, proxy):
        sink = through.sink()
        write(sink, first)
        proxy.cut_at_commit(times, after_forwarding=after)
        stored = write(sink, second)
        assert published(stored) == {n: row(message) for n, message in enumerate(second)}
        # when the server had committed, what was written is found again
        assert counts(stored) == ((0, 0, 20) if after else (20, 0, 0))
        assert proxy.cuts == times
        assert counts(write(sink, third)) == (20, 0, 0)
        sink.close()
    store.check(expected([first, second, third]))


@pytest.mark.parametrize("after", [False, True])
def test_the_very_first_commit_is_cut(store: Store, after: bool) -> None:
    messages = events(store, range(20))
    with store.cutting() as (through, proxy):
        proxy.cut_at_commit(2, after_forwarding=after)
        sink = through.sink()
        stored = write(sink, messages)
        assert published(stored) == {n: row(message) for n, message in enumerate(messages)}
        assert proxy.cuts == 2
        sink.close()
    store.check(expected([messages]))
