"""What is really in a topic: which offsets hold records, read to the ends known at the start."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from driftline.config import Kafka
from driftline.errors import AuditError, ServiceError
from driftline.storage import intervals
from driftline.storage.broker import librdkafka
from driftline.storage.intervals import Ints

_TIMEOUT = 30.0  # seconds for one answer of the broker
_POLL = 0.05  # seconds that a part of a batch may wait for the rest
_AT_ONCE = 10_000
_LARGEST_RECORD = 64 * 1024 * 1024
_UNKNOWN_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)

Bounds = dict[int, tuple[int, int]]
Each = Callable[[list[Message]], None]


@dataclass
class Partition:
    """One partition as far as it was read.

    Attributes:
        low: the first offset that retention has left.
        end: one after the last offset that was asked for.
        records: the offsets in [low, end) that hold a record; markers of transactions and
            records of aborted ones are none.
    """

    low: int
    end: int
    records: Ints = field(default_factory=lambda: intervals.EMPTY)


class Topic:
    """A topic, read as a consumer of committed transactions that joins no group.

    Use it as a context manager.

    Raises:
        ServiceError: the broker does not answer, or refuses the account.
    """

    def __init__(self, settings: Kafka, name: str) -> None:
        self.name = name
        self._consumer = Consumer(
            {
                **librdkafka(settings),
                "group.id": "driftline-audit",  # required, and never used
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "fetch.message.max.bytes": _LARGEST_RECORD,
                "queued.min.messages": 100_000,
            }
        )

    def __enter__(self) -> "Topic":
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def bounds(self) -> Bounds:
        """First and end offset of each partition; empty when there is no such topic."""
        with _explained(self.name):
            listed = self._consumer.list_topics(self.name, timeout=_TIMEOUT).topics[self.name]
            if listed.error is not None:
                if listed.error.code() in _UNKNOWN_TOPIC:
                    return {}
                raise KafkaException(listed.error)
            return {number: self._watermarks(number) for number in sorted(listed.partitions)}

    def offsets_at(self, when: datetime, partitions: Mapping[int, object]) -> dict[int, int]:
        """The first offset of each partition whose record is not older than a time."""
        at = int(when.timestamp() * 1_000)
        wanted = [TopicPartition(self.name, number, at) for number in partitions]
        with _explained(self.name):
            found = self._consumer.offsets_for_times(wanted, timeout=_TIMEOUT)
        ends = {number: self._watermarks(number)[1] for number in partitions}
        return {
            one.partition: one.offset if one.offset >= 0 else ends[one.partition] for one in found
        }

    def read(self, wanted: Bounds, each: Each | None = None) -> dict[int, Partition]:
        """Read the records of some offsets.

        Parameters:
            wanted: partition -> (first offset, end offset).
            each: is given the messages, up to 10,000 at a time and 64 MiB each.

        Raises:
            AuditError: the broker goes silent before the end.
        """
        parts = {number: Partition(first, end) for number, (first, end) in wanted.items()}
        open_parts = {number for number, part in parts.items() if part.low < part.end}
        with _explained(self.name):
            self._consumer.assign(
                [TopicPartition(self.name, number, parts[number].low) for number in open_parts]
            )
            while open_parts:
                ended = set(_take(self._next(), parts, each)) & open_parts
                self._consumer.pause([TopicPartition(self.name, number) for number in ended])
                open_parts -= ended
            self._consumer.unassign()
            for number, part in parts.items():
                part.low = max(part.low, self._watermarks(number)[0])
        return parts

    def _next(self) -> list[Message]:
        patience = time.monotonic() + _TIMEOUT
        while time.monotonic() < patience:
            messages: list[Message] = self._consumer.consume(_AT_ONCE, _POLL)
            if messages:
                return messages
        raise AuditError(
            f"topic {self.name!r} gave nothing for {_TIMEOUT:.0f} s before its end: "
            "check the broker, then audit again"
        )

    def _watermarks(self, partition: int) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(
            TopicPartition(self.name, partition), timeout=_TIMEOUT
        )
        return low, high


def _take(messages: list[Message], parts: dict[int, Partition], each: Each | None) -> Iterator[int]:
    """Note the offsets of some messages; yields the partitions that are read to their ends."""
    offsets: dict[int, list[int]] = {number: [] for number in parts}
    records = []
    for message in messages:
        partition, offset = message.partition(), message.offset()
        if (error := message.error()) is None:
            if offset < parts[partition].end:
                offsets[partition].append(offset)
                records.append(message)
        elif error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        if offset is not None and (error is not None or offset + 1 >= parts[partition].end):
            yield partition
    for number, found in offsets.items():
        if found:
            parts[number].records = intervals.union(parts[number].records, intervals.of(found))
    if each is not None and records:
        each(records)


@contextmanager
def _explained(topic: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        reason = error.args[0]
        raise ServiceError(
            f"can't read topic {topic!r}: {reason.str()}: check kafka.bootstrap and the account"
        ) from None
