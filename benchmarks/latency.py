"""From an event's send to the moment that another connection can read its row.

Every event carries the time at which it was due to be sent, so a sender that falls behind makes
the figures worse, not better. The observer asks the ledger every few milliseconds how far each
partition is committed; a row and its ledger entry are one transaction. An event counts from the
first answer that covers it.
"""

import threading
import time
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from confluent_kafka import Producer

from benchmarks import events
from driftline import names
from driftline.config import Config
from driftline.kafka.client_settings import librdkafka
from driftline.storage.connection import Connection, connect

_TICK = 0.002  # seconds between two bursts of the sender
_LOOK = 0.003  # seconds between two looks of the observer
_START = 300.0  # seconds that the job may take to start
_DRAIN = 60.0  # seconds that the last rows may take

_COMMITTED = """SELECT id, (SELECT max(last_offset) FROM driftline.ledger WHERE source = s.id)
                  FROM driftline.source s WHERE model = %s"""


@dataclass(frozen=True)
class Latency:
    """Milliseconds from due send to readable row, of the events after the warm-up."""

    events: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


@dataclass
class _Looks:
    """When which offset was first seen committed, by source."""

    seen: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def add(self, now: float, source: int, last: int | None) -> None:
        looks = self.seen.setdefault(source, [])
        if last is not None and (not looks or looks[-1][1] < last):
            looks.append((now, last))

    def first_seen(self, source: int, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Seconds since 1970 at which each offset was first seen committed."""
        times, ends = map(np.array, zip(*self.seen[source], strict=True))
        found: npt.NDArray[np.float64] = times[np.searchsorted(ends, offsets)]
        return found


def measure(
    config: Config, model: str, topic: str, *, rate: int, seconds: float, warm_up: float
) -> Latency:
    """Send at a steady rate and watch; the model's job must be running.

    Parameters:
        config: with the stack's addresses.
        model: its job logs the events.
        topic: where to send them; `at` is in microseconds.
        rate: events a second.
        seconds: how long, after `warm_up` seconds that do not count.
    """
    first = events.PARTITIONS
    last = first + int(rate * (warm_up + seconds))
    with connect(config.local_postgres(), "read", autocommit=True) as connection:
        _send(config, topic, rate, range(first))
        _watch(connection, model, first, _START)  # the job is up
        sender = threading.Thread(target=_send, args=(config, topic, rate, range(first, last)))
        sender.start()
        looks = _watch(connection, model, last, warm_up + seconds + _DRAIN)
        sender.join()
        sent, seen = _delays(connection, model, looks)
    counted = sent >= np.sort(sent)[first] + warm_up
    delays = (seen - sent)[counted] * 1_000
    p50, p99 = np.percentile(delays, [50, 99])
    return Latency(int(counted.sum()), float(p50), float(p99), float(delays.max()))


def _send(config: Config, topic: str, rate: int, numbers: range) -> None:
    producer = Producer(
        librdkafka(config.local_kafka()) | {"linger.ms": 1, "enable.idempotence": True}
    )
    rows = list(zip(*events.table(10_000).to_pydict().values(), strict=True))
    began = time.time() + _TICK
    sent = 0
    while sent < len(numbers):
        due = max(sent, min(int((time.time() - began) * rate) + 1, len(numbers)))
        for number in numbers[sent:due]:
            at = int((began + (number - numbers.start) / rate) * 1_000_000)
            event = events.encode(f"{number:016x}", at, rows[number % len(rows)])
            events.produce(producer, topic, number % events.PARTITIONS, event)
        sent = due
        producer.poll(0)
        time.sleep(_TICK)
    producer.flush(_DRAIN)


def _watch(connection: Connection, model: str, total: int, patience: float) -> _Looks:
    """Look until so many events are committed."""
    looks = _Looks()
    until = time.monotonic() + patience
    while time.monotonic() < until:
        committed = connection.execute(_COMMITTED, (model,), prepare=True).fetchall()
        now = time.time()
        for source, last in committed:
            looks.add(now, source, last)
        if sum(0 if last is None else last + 1 for _, last in committed) >= total:
            return looks
        time.sleep(_LOOK)
    raise RuntimeError(f"{model!r} did not commit {total} events in {patience:.0f} s")


def _delays(
    connection: Connection, model: str, looks: _Looks
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """When each row's event was due, and when it was first seen, seconds since 1970."""
    rows = connection.execute(
        f"SELECT source, kafka_offset, extract(epoch FROM event_time)::float8"
        f" FROM {names.SCHEMA}.{names.prediction_table(model)}"
    ).fetchall()
    source, offset, sent = (np.array(column) for column in zip(*rows, strict=True))
    seen = np.empty(len(sent))
    for one in looks.seen:
        mine = source == one
        seen[mine] = looks.first_seen(one, offset[mine])
    return sent, seen
