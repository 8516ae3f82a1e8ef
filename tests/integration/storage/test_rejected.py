"""Rejects can be found, and sent again once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from driftline.audit import audit
from driftline.kafka.topic import Topic
from driftline.storage.connection import connect
from driftline.storage.log import rejected
from driftline.storage.log.rejected import Filter, Replayed

MODEL = "fraud"


@pytest.fixture
def fed(world: Any) -> Any:
    world.feed(10, partition=1, rejected=3)
    world.sql("UPDATE driftline.rejected SET reason = 'too late' WHERE kafka_offset = 9")
    return world


def find(world: Any, which: Filter | None = None) -> list[int]:
    with connect(world.config.postgres, "read") as connection:
        return [one.offset for one in rejected.find(connection, MODEL, which)]


def values(world: Any) -> dict[tuple[int, int], bytes]:
    found: dict[tuple[int, int], bytes] = {}

    def each(messages: list[Any]) -> None:
        found.update({(m.partition(), m.offset()): m.value() for m in messages})

    with Topic(world.config.kafka, world.section.input.topic) as topic:
        topic.read(topic.bounds(), each)
    return found


def test_rejects_are_found_by_reason_and_time(fed: Any) -> None:
    now, hour = datetime.now(UTC), timedelta(hours=1)
    assert find(fed) == [9, 8, 7]
    assert find(fed, Filter(reason="too late")) == [9]
    assert find(fed, Filter(since=now - hour, until=now + hour)) == [9, 8, 7]
    assert find(fed, Filter(since=now + hour)) == find(fed, Filter(until=now - hour)) == []
    with connect(fed.config.postgres, "read") as connection:
        (one,) = rejected.find(connection, MODEL, limit=1)
        counts = rejected.counts(connection, MODEL)
        assert rejected.find(connection, "another") == []
    assert (one.stream, one.topic, one.partition) == ("events", fed.section.input.topic, 1)
    assert json.loads(one.payload or b"")["event_id"] == "e9"
    assert counts == [("events", "not json", 2, 0), ("events", "too late", 1, 0)]


def test_a_replay_sends_each_once_to_its_partition_with_its_time(fed: Any) -> None:
    assert rejected.replay(fed.config, MODEL, Filter(reason="not json")) == Replayed(2, 0)
    assert find(fed, Filter(replayed=False)) == [9]
    assert rejected.replay(fed.config, MODEL) == Replayed(1, 0)
    assert rejected.replay(fed.config, MODEL) == Replayed(0, 0)
    topic = values(fed)
    assert [topic[1, offset] for offset in (10, 11, 12)] == [topic[1, n] for n in (7, 8, 9)]
    report = audit(fed.config, MODEL)
    assert report.ok
    assert report.events.pending == 3
    assert rejected.replay(fed.config, MODEL, again=True) == Replayed(3, 0)
    assert len(values(fed)) == 16


def test_whole_numbers_are_sent_again_exactly(world: Any) -> None:
    numbers = [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, 10**30]
    events = [event | {"items": n} for event, n in zip(world.events(6), numbers, strict=True)]
    world.log(events, world.produce_events(events), rejected=6)
    assert rejected.replay(world.config, MODEL) == Replayed(6, 0)
    sent = sorted(values(world).items())
    assert [value for _, value in sent[6:]] == [value for _, value in sent[:6]]
    assert [json.loads(value)["items"] for _, value in sent[6:]] == numbers


def test_more_than_one_transaction_and_messages_without_a_value(
    fed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejected, "_REPLAY_BATCH", 1)
    fed.sql("UPDATE driftline.rejected SET payload = NULL WHERE kafka_offset = 8")
    assert rejected.replay(fed.config, MODEL, again=True) == Replayed(2, 1)
    assert find(fed, Filter(replayed=False)) == [8]
