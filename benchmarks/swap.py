"""Time until a promoted version serves, and the effect of swaps and shadows on throughput."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks import events
from benchmarks.bench import MODEL, Bench, Variant
from benchmarks.job import job
from driftline import names
from driftline.registry import aliases
from driftline.registry.client import connect as connect_registry
from driftline.registry.promote import promote, rollback
from driftline.storage.connection import Connection, connect
from driftline.storage.versions.promotions import events as version_events
from driftline.streaming.progress import Progress, ProgressReader

TOPIC = "bench-swap"

_STANDBY = 20.0  # seconds for the preflight process to be ready, under load
_SPAN = 6.0  # seconds before and after a swap that are compared
_POLL_SECONDS = 0.1
_TIMEOUT = 300.0


@dataclass
class Swap:
    """Measurements of swaps under load.

    Attributes:
        seconds: change -> seconds from the command to the version's first row.
        rates_before, rates_during: events per second before and during each swap.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    rates_before: list[float] = field(default_factory=list)
    rates_during: list[float] = field(default_factory=list)

    @property
    def events_per_second(self) -> float:
        """Mean rate during swaps."""
        return sum(self.rates_during) / len(self.rates_during)

    @property
    def throughput_ratio(self) -> float:
        """Rate during swaps divided by the rate before, all swaps together."""
        return sum(self.rates_during) / sum(self.rates_before)


def measure(bench: Bench, variant: Variant, n: int) -> Swap:
    """Promote a version and roll back, while a topic of n events is read at full speed."""
    result = Swap()
    # sent before the job starts, as it reads faster than one producer writes
    events.send(bench.config.local_kafka(), TOPIC, n)
    with job(variant), _reading(variant) as connection:
        stream = _Stream(connection, variant, n)
        _wait(lambda: stream.count() > 0)
        time.sleep(_STANDBY)
        second, first = _versions(bench)
        for change, version, swap in (
            ("promoted", second, lambda: promote(variant.config, variant.name, second)),
            ("rolled_back", first, lambda: rollback(variant.config, variant.name)),
        ):
            result.rates_before.append(stream.rate(_SPAN))
            count, start = stream.count(), time.monotonic()
            swap()
            stream.wait_for(version)
            result.seconds[change] = time.monotonic() - start
            time.sleep(max(0.0, _SPAN - result.seconds[change]))
            result.rates_during.append((stream.count() - count) / (time.monotonic() - start))
    return result


@contextmanager
def shadowed(bench: Bench, variant: Variant) -> Iterator[None]:
    """Add a shadow to the champion; a short run loads it, with its preflight check, in advance."""
    client = connect_registry(bench.config.local_mlflow())
    second, _ = _versions(bench)
    aliases.set_alias(client, MODEL, names.SHADOW, second)
    try:
        with job(variant), _reading(variant) as connection:
            _wait(
                lambda: any(
                    event.kind == "scoring" for event in version_events(connection, variant.name)
                )
            )
        variant.clear()
        yield
    finally:
        aliases.delete_alias(client, MODEL, names.SHADOW)


class _Stream:
    """Progress of a topic of n events, which must not be finished while it is measured."""

    def __init__(self, connection: Connection, variant: Variant, n: int) -> None:
        self._reader = ProgressReader(connection, variant.name)
        self._n = n

    def count(self) -> int:
        return self._read().events

    def wait_for(self, version: int) -> None:
        """Wait until the version made the newest predictions, whose profiles come with the rows."""
        _wait(lambda: self._read().version == version)

    def rate(self, seconds: float) -> float:
        first, start = self.count(), time.monotonic()
        time.sleep(seconds)
        return (self.count() - first) / (time.monotonic() - start)

    def _read(self) -> Progress:
        progress = self._reader.read()
        if progress.events >= self._n:
            raise RuntimeError("the stream ended before the swaps: increase --events")
        return progress


def _versions(bench: Bench) -> tuple[int, int]:
    """The numbers of the version without a role and of the champion."""
    client = connect_registry(bench.config.local_mlflow())
    champion = aliases.read_aliases(client, MODEL)[names.CHAMPION]
    return (1 if champion == 2 else 2), champion


def _reading(variant: Variant) -> Connection:
    return connect(variant.config.local_postgres(), "read", autocommit=True)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"no result within {_TIMEOUT:.0f} s: see the job's log")
        time.sleep(_POLL_SECONDS)
