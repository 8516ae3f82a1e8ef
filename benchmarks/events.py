"""The events of all benchmarks: generated from a seed, sent once, read by all variants."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from driftline.config import Kafka
from driftline.kafka.client_settings import librdkafka

PARTITIONS = 2
PER_MINUTE = 20_000  # events per minute of event time
START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
NUMBERS = tuple(f"f{index}" for index in range(8))  # the model's features
FIELDS = {
    **dict.fromkeys(NUMBERS, "float"),
    "items": "int",
    "country": "string",
    "device": "string",
}
SEED = 7

_CHUNK = 100_000
_COUNTRIES = ("DE", "US", "FR", "GB", "IN", "BR", "JP", "NL")
_DEVICES = ("ios", "android", "web")
_BAD: tuple[Callable[[bytes], bytes], ...] = (
    lambda event: event[: len(event) // 2],
    lambda _: b"not json",
    lambda _: b"null",
    lambda event: event.replace(b'"at":', b'"when":'),
    lambda event: event.replace(b'"f3":', b'"f3":"x', 1).replace(b',"f4"', b'","f4"', 1),
)


@dataclass(frozen=True)
class Sent:
    """A topic filled with events.

    Attributes:
        topic: name of the topic.
        events: number of messages.
        good: number of messages that are valid events.
        bytes: uncompressed size of all messages.
        last: time (ms since 1970) and id of the last message of each partition, a valid event.
    """

    topic: str
    events: int
    good: int
    bytes: int
    last: tuple[tuple[int, str], ...]


def table(n: int, seed: int = SEED) -> pa.Table:
    """The fields of n events as columns, in the order of `FIELDS`."""
    rng = np.random.default_rng(seed)
    columns: dict[str, npt.ArrayLike] = {name: _numbers(rng, n) for name in NUMBERS}
    columns["items"] = rng.integers(1, 100, n)
    columns["country"] = np.array(_COUNTRIES)[rng.integers(0, len(_COUNTRIES), n)]
    columns["device"] = np.array(_DEVICES)[rng.integers(0, len(_DEVICES), n)]
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def times(first: int, n: int) -> npt.NDArray[np.int64]:
    """Times of n events from number `first` on, ms since 1970, with `PER_MINUTE` per minute."""
    return START_MS + np.arange(first, first + n) * 60_000 // PER_MINUTE


def messages(n: int, first: int = 0, seed: int = SEED) -> Iterator[tuple[int, str, bytes]]:
    """Time, id and JSON of n events from number `first` on; an event does not depend on n."""
    end = first + n
    for chunk in range(first // _CHUNK, -(-end // _CHUNK)):
        begin = chunk * _CHUNK
        at = times(begin, _CHUNK).tolist()
        ids = [f"{value:016x}" for value in _ids(seed, chunk)]
        rows = zip(*table(_CHUNK, seed + 1 + chunk).to_pydict().values(), strict=True)
        selected = slice(max(first - begin, 0), end - begin)
        for time_ms, event_id, row in list(zip(at, ids, rows, strict=True))[selected]:
            yield time_ms, event_id, encode(event_id, time_ms, row)


def encode(event_id: str, at: int, row: tuple[object, ...]) -> bytes:
    """One event as JSON.

    >>> encode("a", 5, (1.5,) * 8 + (3, "DE", "web"))[:35]
    b'{"id":"a","at":5,"f0":1.5,"f1":1.5,'
    """
    return _TEMPLATE.format(event_id, at, *row).encode()


_TEMPLATE = (
    '{{"id":"{}","at":{},'
    + "".join(f'"{name}":{{}},' for name in (*NUMBERS, "items"))
    + '"country":"{}","device":"{}"}}'
)


def corrupt(event: bytes, number: int) -> bytes:
    """Make an event invalid, in one of several ways."""
    return _BAD[number % len(_BAD)](event)


def send(kafka: Kafka, topic: str, n: int, *, bad: float = 0.0, first: int = 0) -> Sent:
    """Send n events from number `first` on, evenly to all partitions; a share `bad` is invalid.

    If `first` is 0, the topic is created again.
    """
    if not first:
        make_topic(kafka, topic)
    producer = Producer(
        librdkafka(kafka)
        | {"linger.ms": 50, "batch.size": 1_000_000, "compression.type": "lz4"}
        | {"queue.buffering.max.messages": 500_000, "enable.idempotence": True}
    )
    every = round(1 / bad) if bad else 0
    size = corrupted = 0
    last: dict[int, tuple[int, str]] = {}
    for number, (at, event_id, message) in enumerate(messages(n, first)):
        partition, value = number % PARTITIONS, message
        if every and number % every == 0 and number < n - PARTITIONS:
            value, corrupted = corrupt(message, number // every), corrupted + 1
        last[partition] = (at, event_id)
        size += len(value)
        produce(producer, topic, partition, value)
    if remaining := producer.flush(60):
        raise RuntimeError(f"Kafka did not acknowledge {remaining} events")
    return Sent(topic, n, n - corrupted, size, tuple(last.values()))


def make_topic(kafka: Kafka, topic: str) -> None:
    """Create an empty topic; an existing one is deleted first."""
    admin = AdminClient(librdkafka(kafka))
    if topic in admin.list_topics(timeout=30).topics:
        admin.delete_topics([topic])[topic].result(30)
        while topic in admin.list_topics(timeout=30).topics:
            time.sleep(0.1)
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)


def produce(producer: Producer, topic: str, partition: int, value: bytes) -> None:
    """Queue a message; waits while the queue is full."""
    while True:
        try:
            producer.produce(topic, value, partition=partition)
        except BufferError:
            producer.poll(0.05)
        else:
            return


def _numbers(rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    return rng.normal(size=n).round(4)


def _ids(seed: int, chunk: int) -> list[int]:
    """Unique ids in random order: multiplying by an odd number permutes 64-bit numbers."""
    number = np.arange(chunk * _CHUNK, (chunk + 1) * _CHUNK, dtype=np.uint64) + np.uint64(
        seed << 40
    )
    with np.errstate(over="ignore"):
        mixed: list[int] = (number * np.uint64(0x9E3779B97F4A7C15)).tolist()
    return mixed
