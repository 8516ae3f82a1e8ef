"""Events into a topic: many, fast, a few of them repeated and a few broken."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from driftline.config import Kafka
from driftline.kafka.client_settings import librdkafka

START = 1_710_000_000_000  # milliseconds, a day in March 2024
SPACING = 20  # milliseconds between two events
AHEAD = 60_000  # messages that a flowing stream is ahead of the job, at most
STEP = 20_000
FLAW = 1_000  # each n-th event comes twice, another n-th comes with a broken twin


@dataclass(frozen=True)
class Sent:
    """What was put into a topic: every event is there once, beside its repeats and the broken."""

    events: int
    repeated: int
    broken: int

    @property
    def messages(self) -> int:
        return self.events + self.repeated + self.broken


def event(number: int) -> bytes:
    """The event of a number, as JSON."""
    amount = "null" if number % 97 == 0 else f"{number % 500 / 10}"
    country = ("de", "fr", "it")[number % 3]
    return (
        f'{{"id":"e{number}","at":{START + number * SPACING},"amount":{amount},'
        f'"items":{number % 5},"country":"{country}"}}'
    ).encode()


def values(first: int, end: int) -> Iterator[bytes]:
    """The events of [first, end), with their repeats and the broken ones between them."""
    for number in range(first, end):
        value = event(number)
        yield value
        if number % FLAW == 500:
            yield value
        elif number % FLAW == 900:
            yield value[: len(value) // 2]


def sent(events: int) -> Sent:
    """What `values(0, events)` holds."""
    count = len
    return Sent(events, count(range(500, events, FLAW)), count(range(900, events, FLAW)))


def produce(
    kafka: Kafka,
    topic: str,
    messages: Iterable[bytes],
    partitions: int = 2,
    only: int | None = None,
) -> None:
    """Spread messages over the partitions, or only to one; returns when the broker has them all."""
    producer = make_producer(kafka)
    for index, value in enumerate(messages):
        while True:
            try:
                partition = index % partitions if only is None else only
                producer.produce(topic, value, partition=partition)
                break
            except BufferError:  # the queue is full: let the broker take some
                producer.poll(0.1)
    assert producer.flush(120) == 0, f"the broker did not take all messages for {topic!r}"


@dataclass
class Flow:
    """A stream that flows; `events` of it were sent so far."""

    events: int


@contextmanager
def flowing(kafka: Kafka, topic: str, first: int, settled: Callable[[], int]) -> Iterator[Flow]:
    """Send a stream for as long as the block runs, a little ahead of the job.

    Parameters:
        first: the number of the first event.
        settled: how many messages have their outcome.
    """
    flow, stop = Flow(first), threading.Event()

    def send() -> None:
        while not stop.is_set():
            if sent(flow.events).messages - settled() < AHEAD:
                produce(kafka, topic, values(flow.events, flow.events + STEP))
                flow.events += STEP
            else:
                stop.wait(0.05)

    feeder = threading.Thread(target=send)
    feeder.start()
    try:
        yield flow
        assert feeder.is_alive(), "the stream has ended early"
    finally:
        stop.set()
        feeder.join()


def make_producer(kafka: Kafka) -> Producer:
    """A producer that repeats nothing by itself, whatever happens to the broker."""
    return Producer(
        librdkafka(kafka)
        | {
            "enable.idempotence": True,
            "linger.ms": 20,
            "compression.type": "lz4",
            "message.max.bytes": 16_000_000,
            "queue.buffering.max.messages": 200_000,
        }
    )


def make_topics(kafka: Kafka, names: Iterable[str], partitions: int = 2) -> None:
    """Make empty topics."""
    admin = AdminClient(librdkafka(kafka))
    creations: dict[str, Any] = admin.create_topics(
        [NewTopic(name, partitions, 1) for name in names]
    )
    for future in creations.values():
        future.result(60)
