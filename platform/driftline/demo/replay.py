"""Replays recorded flights into Kafka: events and labels, in the order in which they happened."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event

import numpy as np
import numpy.typing as npt
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from driftline.config import Kafka
from driftline.demo import settings
from driftline.errors import ServiceError
from driftline.kafka.client_settings import librdkafka

_FLAW = 0.001  # share of events that are repeated; as many are malformed
_TICK = 0.02  # seconds between the bursts of a rate-limited replay
_PATIENCE = 30.0


@dataclass(frozen=True)
class Message:
    """One message of the replay."""

    topic: str
    partition: int
    value: bytes


def make_topics(kafka: Kafka) -> None:
    """Create the demo's topics again, empty.

    Raises:
        ServiceError: the broker does not answer or refuses.
    """
    admin = AdminClient(librdkafka(kafka))
    topics = [settings.EVENTS, settings.SCORED, settings.LABELS]
    existing = set(admin.list_topics(timeout=_PATIENCE).topics) & set(topics)
    try:
        if existing:
            for future in admin.delete_topics(list(existing)).values():
                future.result(_PATIENCE)
            _wait_until_gone(admin, existing)
        created = admin.create_topics([NewTopic(topic, settings.PARTITIONS, 1) for topic in topics])
        for future in created.values():
            future.result(_PATIENCE)
    except KafkaException as error:
        raise ServiceError(
            f"can't create the demo's topics at {kafka.bootstrap!r}: {error}"
        ) from error


def _wait_until_gone(admin: AdminClient, topics: set[str]) -> None:
    until = time.monotonic() + _PATIENCE
    while topics & set(admin.list_topics(timeout=_PATIENCE).topics):
        if time.monotonic() > until:
            raise ServiceError(f"Kafka still shows the deleted topics {sorted(topics)}: try again")
        time.sleep(0.1)


def messages(
    events: Sequence[bytes],
    event_times: npt.NDArray[np.datetime64],
    labels: Sequence[bytes],
    label_times: npt.NDArray[np.datetime64],
    seed: int,
) -> Iterator[Message]:
    """Events and labels merged by time, with a few events repeated and a few malformed.

    Parameters:
        events, labels: JSON lines in the order of their times.
        event_times, label_times: datetime64 of each.
        seed: of the choice of repeated and malformed events.
    """
    rng = np.random.default_rng(seed)
    fate = rng.random(len(events))
    is_label = np.concatenate([np.zeros(len(events), bool), np.ones(len(labels), bool)])
    order = np.argsort(np.concatenate([event_times, label_times]), kind="stable")
    for position, index in enumerate(order):
        partition = position % settings.PARTITIONS
        if is_label[index]:
            yield Message(settings.LABELS, partition, labels[index - len(events)])
            continue
        value = events[index]
        yield Message(settings.EVENTS, partition, value)
        if fate[index] < _FLAW:
            yield Message(settings.EVENTS, partition, value)
        elif fate[index] < 2 * _FLAW:
            yield Message(settings.EVENTS, partition, value[: len(value) // 2])


class Replay:
    """Sends the messages; `sent` counts them by topic.

    Parameters:
        kafka: with a real address.
        rate: events per second; None for as fast as possible.
    """

    def __init__(self, kafka: Kafka, rate: float | None) -> None:
        self._producer = Producer(
            librdkafka(kafka)
            | {
                "enable.idempotence": True,
                "linger.ms": 20,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 200_000,
            }
        )
        self._rate = rate
        self.sent: dict[str, int] = {settings.EVENTS: 0, settings.LABELS: 0}
        self.stop = Event()

    def run(self, replayed: Iterator[Message]) -> None:
        """Send all messages, or until `stop` is set; returns when the broker has them."""
        started = time.monotonic()
        for message in replayed:
            if self.stop.is_set():
                break
            self._send(message)
            self.sent[message.topic] += 1
            if self._rate is not None and message.topic == settings.EVENTS:
                self._pace(started, self._rate)
        left = self._producer.flush(_PATIENCE)
        if left:
            raise ServiceError(f"{left} messages of the replay did not reach Kafka")

    def _send(self, message: Message) -> None:
        while not self.stop.is_set():
            try:
                self._producer.produce(message.topic, message.value, partition=message.partition)
            except BufferError:  # the queue is full: let the broker take some
                self._producer.poll(0.1)
            else:
                return

    def _pace(self, started: float, rate: float) -> None:
        ahead = self.sent[settings.EVENTS] / rate - (time.monotonic() - started)
        if ahead > _TICK:
            self._producer.poll(0)
            self.stop.wait(ahead)
