"""Measures the time from sending an event until another connection can read its row.

Each event carries the time at which it was due to be sent, so a sender that falls behind makes the
figures worse, not better. The observer polls the ledger every few milliseconds for the committed
offset of each partition; a row and its ledger entry are one transaction. An event counts as
readable from the first poll that covers it.
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

_SEND_INTERVAL = 0.002  # seconds between two bursts of the sender
_POLL_INTERVAL = 0.003  # seconds between two polls of the observer
_START_TIMEOUT = 300.0  # seconds for the job to start
_DRAIN_TIMEOUT = 60.0  # seconds for the last rows

_COMMITTED = """SELECT id, (SELECT max(last_offset) FROM driftline.ledger WHERE source = s.id)
                  FROM driftline.source s WHERE model = %s"""


@dataclass(frozen=True)
class Latency:
    """Milliseconds from the due time to the readable row, for events after the warm-up."""

    events: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


@dataclass
class _Commits:
    """Committed offsets and the time of the poll that first reported them, by source."""

    by_source: dict[int, list[tuple[float, int]]] = field(default_factory=dict)

    def add(self, now: float, source: int, last: int | None) -> None:
        commits = self.by_source.setdefault(source, [])
        if last is not None and (not commits or commits[-1][1] < last):
            commits.append((now, last))

    def committed_at(self, source: int, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Time of the first poll that reported each offset as committed, seconds since 1970."""
        times, ends = map(np.array, zip(*self.by_source[source], strict=True))
        committed: npt.NDArray[np.float64] = times[np.searchsorted(ends, offsets)]
        return committed


def measure(
    config: Config, model: str, topic: str, *, rate: int, seconds: float, warm_up: float
) -> Latency:
    """Send events at a steady rate and measure; the model's job must be running.

    Parameters:
        config: with the stack's addresses.
        model: the model whose job stores the events.
        topic: topic to send to; event times are in microseconds.
        rate: events per second.
        seconds: duration, after `warm_up` seconds that are not measured.
    """
    first = events.PARTITIONS
    last = first + int(rate * (warm_up + seconds))
    with connect(config.local_postgres(), "read", autocommit=True) as connection:
        _send(config, topic, rate, range(first))
        _poll(connection, model, first, _START_TIMEOUT)  # waits until the job has started
        sender = threading.Thread(target=_send, args=(config, topic, rate, range(first, last)))
        sender.start()
        commits = _poll(connection, model, last, warm_up + seconds + _DRAIN_TIMEOUT)
        sender.join()
        due, committed = _times(connection, model, commits)
    measured = due >= np.sort(due)[first] + warm_up
    delays = (committed - due)[measured] * 1_000
    p50, p99 = np.percentile(delays, [50, 99])
    return Latency(int(measured.sum()), float(p50), float(p99), float(delays.max()))


def _send(config: Config, topic: str, rate: int, numbers: range) -> None:
    producer = Producer(
        librdkafka(config.local_kafka()) | {"linger.ms": 1, "enable.idempotence": True}
    )
    rows = list(zip(*events.table(10_000).to_pydict().values(), strict=True))
    start = time.time() + _SEND_INTERVAL
    sent = 0
    while sent < len(numbers):
        due = max(sent, min(int((time.time() - start) * rate) + 1, len(numbers)))
        for number in numbers[sent:due]:
            at = int((start + (number - numbers.start) / rate) * 1_000_000)
            event = events.encode(f"{number:016x}", at, rows[number % len(rows)])
            events.produce(producer, topic, number % events.PARTITIONS, event)
        sent = due
        producer.poll(0)
        time.sleep(_SEND_INTERVAL)
    producer.flush(_DRAIN_TIMEOUT)


def _poll(connection: Connection, model: str, total: int, timeout: float) -> _Commits:
    """Poll until `total` events are committed."""
    commits = _Commits()
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        committed = connection.execute(_COMMITTED, (model,), prepare=True).fetchall()
        now = time.time()
        for source, last in committed:
            commits.add(now, source, last)
        if sum(0 if last is None else last + 1 for _, last in committed) >= total:
            return commits
        time.sleep(_POLL_INTERVAL)
    raise RuntimeError(f"{model!r} did not commit {total} events in {timeout:.0f} s")


def _times(
    connection: Connection, model: str, commits: _Commits
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """When each row's event was due, and when it was readable, seconds since 1970."""
    rows = connection.execute(
        f"SELECT source, kafka_offset, extract(epoch FROM event_time)::float8"
        f" FROM {names.SCHEMA}.{names.prediction_table(model)}"
    ).fetchall()
    sources, offsets, due = (np.array(column) for column in zip(*rows, strict=True))
    committed = np.empty(len(due))
    for source in commits.by_source:
        mask = sources == source
        committed[mask] = commits.committed_at(source, offsets[mask])
    return due, committed
