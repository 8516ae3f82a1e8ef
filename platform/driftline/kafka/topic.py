"""The records of a topic: which offsets hold one, read up to the ends known at the start."""

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
from driftline.kafka import intervals
from driftline.kafka.client_settings import Complaints
from driftline.kafka.intervals import Ints

_TIMEOUT = 10.0  # seconds for one answer of the broker
_SILENCE = 30.0  # seconds without a record before its end, after which reading a topic fails
_POLL = 0.05  # seconds that an incomplete batch may wait for more messages
_SETTLED = 2.0  # seconds that markers of committed transactions may take
_AT_ONCE = 10_000
_LARGEST_RECORD = 64 * 1024 * 1024
_UNKNOWN_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)

Bounds = dict[int, tuple[int, int]]
Each = Callable[[list[Message]], None]


@dataclass
class Partition:
    """One partition as far as it was read.

    Attributes:
        low: the first offset that retention has not deleted.
        end: one after the last requested offset.
        records: the offsets in [low, end) that hold a record, without transaction markers and
            records of aborted transactions.
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
        self._complaints = Complaints()
        self._consumer = Consumer(
            {
                **self._complaints.settings(settings),
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
        with self._explained():
            listed = self._consumer.list_topics(self.name, timeout=_TIMEOUT).topics[self.name]
            if listed.error is not None:
                if listed.error.code() in _UNKNOWN_TOPIC:
                    return {}
                raise KafkaException(listed.error)
            return {number: self._watermarks(number) for number in sorted(listed.partitions)}

    def offsets_at(self, when: datetime, partitions: Mapping[int, object]) -> dict[int, int]:
        """The first offset of each partition whose record is not older than a time."""
        at = int(when.timestamp() * 1_000)
        requested = [TopicPartition(self.name, number, at) for number in partitions]
        with self._explained():
            answers = self._consumer.offsets_for_times(requested, timeout=_TIMEOUT)
        ends = {number: self._watermarks(number)[1] for number in partitions}
        offsets = {answer.partition: answer.offset for answer in answers}
        return {number: at if at >= 0 else ends[number] for number, at in offsets.items()}

    def read(self, requested: Bounds, each: Each | None = None) -> dict[int, Partition]:
        """Read the records of some offsets.

        Parameters:
            requested: partition -> (first offset, end offset).
            each: called with the messages, up to 10,000 at a time, each up to 64 MiB.

        Raises:
            AuditError: the broker goes silent before the end.
        """
        reading = _Reading(self.name, requested, each)
        with self._explained():
            self._consumer.assign(
                [TopicPartition(self.name, n, requested[n][0]) for n in reading.unfinished]
            )
            while reading.unfinished:
                finished = reading.take(self._consumer.consume(_AT_ONCE, _POLL))
                self._consumer.pause([TopicPartition(self.name, number) for number in finished])
            self._consumer.unassign()
            for number, part in reading.parts.items():
                part.low = max(part.low, self._watermarks(number)[0])
        return reading.parts

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except KafkaException as error:
            reason = self._complaints.explain(self._consumer, error)
            raise ServiceError(f"can't read topic {self.name!r}: {reason}") from None

    def _watermarks(self, partition: int) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(
            TopicPartition(self.name, partition), timeout=_TIMEOUT
        )
        return low, high


class _Reading:
    """How far the partitions are read.

    A partition is finished at its end, or where committed records end: there a transaction may be
    open, whose records are not visible yet. But markers follow a commit a little later, so that
    position counts only once it has been stable for a while.
    """

    def __init__(self, topic: str, requested: Bounds, each: Each | None) -> None:
        self.parts = {number: Partition(first, end) for number, (first, end) in requested.items()}
        self.unfinished = {number for number, part in self.parts.items() if part.low < part.end}
        self._topic = topic
        self._each = each
        self._halted: dict[int, float] = {}
        self._heard = time.monotonic()

    def take(self, messages: list[Message]) -> set[int]:
        """Record some messages; returns the partitions that are finished now."""
        now = time.monotonic()
        finished: set[int] = set()
        records = []
        offsets: dict[int, list[int]] = {number: [] for number in self.parts}
        for message in messages:
            partition, offset, error = message.partition(), message.offset(), message.error()
            end = self.parts[partition].end
            if error is None:
                self._halted.pop(partition, None)
                if offset < end:
                    offsets[partition].append(offset)
                    records.append(message)
                if offset >= end - 1:
                    finished.add(partition)
            elif error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            elif offset >= end:
                finished.add(partition)
            else:
                self._halted[partition] = now
        self._note(offsets)
        if self._each is not None and records:
            self._each(records)
        self._require_progress(now, bool(messages))
        finished |= {n for n, since in self._halted.items() if now - since > _SETTLED}
        finished &= self.unfinished
        self.unfinished -= finished
        return finished

    def _note(self, offsets: dict[int, list[int]]) -> None:
        for number, partition_offsets in offsets.items():
            if partition_offsets:
                part = self.parts[number]
                part.records = intervals.union(part.records, intervals.of(partition_offsets))

    def _require_progress(self, now: float, heard: bool) -> None:
        if heard or self._halted:
            self._heard = now
        if now - self._heard > _SILENCE:
            raise AuditError(
                f"topic {self._topic!r} returned no records for {_SILENCE:.0f} s before its end: "
                "check the broker, then run the audit again"
            )
