"""What is in a topic under transactions, and what becomes of it in an audit."""

from typing import Any

import pytest

from driftline.audit import audit
from driftline.errors import ServiceError
from driftline.kafka import intervals
from driftline.kafka.topic import Topic

MODEL = "fraud"


class Transactions:
    """A transactional producer that tells the offsets of what it committed."""

    def __init__(self, world: Any, topic: str) -> None:
        self._topic = topic
        self._offsets: list[int] = []
        self.producer = world.producer(**{"transactional.id": f"test-{topic}"})
        self.producer.init_transactions(30)

    def send(self, values: list[bytes], how: str = "commit") -> list[int]:
        """Produce values in a transaction of their own: commit, abort, or leave it open."""
        self._offsets.clear()
        self.producer.begin_transaction()
        for value in values:
            self.producer.produce(self._topic, value, partition=0, on_delivery=self._note)
        self.producer.flush()
        if how == "commit":
            self.producer.commit_transaction(30)
        if how == "abort":
            self.producer.abort_transaction(30)
        return list(self._offsets)

    def _note(self, error: Any, message: Any) -> None:
        assert error is None
        self._offsets.append(message.offset())


def test_only_committed_records_are_there(world: Any) -> None:
    name = world.section.input.topic
    transactions = Transactions(world, name)
    committed = transactions.send([b"a", b"b"])
    transactions.send([b"gone"], "abort")
    committed += transactions.send([b"c"])
    with Topic(world.config.kafka, name) as topic:
        (part, other) = topic.read(topic.bounds()).values()
        assert part.end == committed[-1] + 2  # its marker takes an offset too
        assert part.records.tolist() == intervals.of(committed).tolist()
        assert intervals.size(other.records) == 0
    transactions.send([b"open"], "leave")
    with Topic(world.config.kafka, name) as topic:
        seen: list[bytes] = []
        part = topic.read(topic.bounds(), lambda some: seen.extend(m.value() for m in some))[0]
        assert part.records.tolist() == intervals.of(committed).tolist()
        assert seen == [b"a", b"b", b"c"]
    transactions.producer.abort_transaction(30)


def test_an_audit_counts_no_markers_and_no_aborted_records(world: Any) -> None:
    events = world.events(6)
    transactions = Transactions(world, world.section.input.topic)
    offsets = []
    for event in events:
        offsets += transactions.send([str(event).encode()])
        transactions.send([b"aborted"], "abort")
    world.log(events, offsets)
    report = audit(world.config, MODEL, complete=True)
    assert report.ok, report.to_json()
    assert (report.events.read, report.events.logged, report.published) == (6, 6, 6)


def test_an_aborted_publication_is_none(world: Any) -> None:
    world.feed(3, publish=False)
    record = (
        b'{"event_id": "e0", "event_time": "2024-03-01T00:00:00Z", "model_version": 1, "score": 0}'
    )
    Transactions(world, world.section.output.topic).send([record], "abort")
    (one,) = audit(world.config, MODEL, complete=True).differences
    assert (one.kind, one.count) == ("unpublished", 3)


def test_a_range_of_offsets(world: Any) -> None:
    name = world.section.input.topic
    world.produce(name, [b"x"] * 10)
    with Topic(world.config.kafka, name) as topic:
        assert topic.read({0: (3, 6)})[0].records.tolist() == [[3, 6]]
        assert topic.read({0: (4, 4)})[0].records.tolist() == []


def test_a_topic_that_does_not_exist_has_no_partitions(world: Any) -> None:
    with Topic(world.config.kafka, "no-such-topic") as topic:
        assert topic.bounds() == {}


def test_errors_name_the_topic_and_the_cause(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driftline.kafka.topic._TIMEOUT", 2.0)
    nobody = world.config.kafka.model_copy(update={"username": "nobody"})
    away = world.config.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"})
    for settings, cause in ((nobody, "Authentication failed"), (away, "Connection refused")):
        with (
            Topic(settings, "events") as topic,
            pytest.raises(ServiceError, match=rf"can't read topic 'events': .*{cause}.*: check"),
        ):
            topic.bounds()
