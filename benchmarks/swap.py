"""How long a promoted version takes to serve, and what a swap and a shadow cost the stream."""

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
from driftline.streaming.progress import Progress, Watch

TOPIC = "bench-swap"

_STANDBY = 20.0  # seconds that the process for trials may take to stand by, under the load
_SPAN = 6.0  # seconds before a swap, and from it on, that are compared
_LOOK = 0.1
_PATIENCE = 300.0


@dataclass
class Swap:
    """What was seen of swaps under load.

    Attributes:
        seconds: from the wish to the first row of the version, by what was wished.
        before, during: events a second, each in as many spans as there were swaps.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    before: list[float] = field(default_factory=list)
    during: list[float] = field(default_factory=list)

    @property
    def events_per_second(self) -> float:
        """The load under which versions were swapped."""
        return sum(self.during) / len(self.during)

    @property
    def throughput_ratio(self) -> float:
        """During over before, all swaps together."""
        return sum(self.during) / sum(self.before)


def measure(bench: Bench, variant: Variant, n: int) -> Swap:
    """Promote a version and roll back, while a topic of n events is read at full speed."""
    found = Swap()
    # before the job: it reads faster than one producer writes
    events.send(bench.config.local_kafka(), TOPIC, n)
    with job(variant), _reading(variant) as connection:
        stream = _Stream(connection, variant, n)
        _wait(lambda: stream.count() > 0)
        time.sleep(_STANDBY)
        second, first = _versions(bench)
        for wish, version, move in (
            ("promoted", second, lambda: promote(variant.config, variant.name, second)),
            ("rolled_back", first, lambda: rollback(variant.config, variant.name)),
        ):
            found.before.append(stream.rate(_SPAN))
            count, began = stream.count(), time.monotonic()
            move()
            stream.wait_for(version)
            found.seconds[wish] = time.monotonic() - began
            time.sleep(max(0.0, _SPAN - found.seconds[wish]))
            found.during.append((stream.count() - count) / (time.monotonic() - began))
    return found


@contextmanager
def shadowed(bench: Bench, variant: Variant) -> Iterator[None]:
    """A shadow beside the champion, which a short run has loaded and tried."""
    client = connect_registry(bench.config.local_mlflow())
    second, _ = _versions(bench)
    aliases.point(client, MODEL, names.SHADOW, second)
    try:
        with job(variant), _reading(variant) as connection:
            _wait(
                lambda: any(
                    one.kind == "scoring" for one in version_events(connection, variant.name)
                )
            )
        variant.clear()
        yield
    finally:
        aliases.unpoint(client, MODEL, names.SHADOW)


class _Stream:
    """What has its outcome of a topic of n events, which must not end while it is looked at."""

    def __init__(self, connection: Connection, variant: Variant, n: int) -> None:
        self._watch = Watch(connection, variant.name)
        self._n = n

    def count(self) -> int:
        return self._look().events

    def wait_for(self, version: int) -> None:
        """Until the newest predictions are of it: their profiles are committed with the rows."""
        _wait(lambda: self._look().version == version)

    def rate(self, seconds: float) -> float:
        first, began = self.count(), time.monotonic()
        time.sleep(seconds)
        return (self.count() - first) / (time.monotonic() - began)

    def _look(self) -> Progress:
        progress = self._watch.look()
        if progress.events >= self._n:
            raise RuntimeError("the stream ended before the swaps did: more --events are needed")
        return progress


def _versions(bench: Bench) -> tuple[int, int]:
    """The version without a role, and the champion."""
    client = connect_registry(bench.config.local_mlflow())
    champion = aliases.aliases(client, MODEL)[names.CHAMPION]
    return (1 if champion == 2 else 2), champion


def _reading(variant: Variant) -> Connection:
    return connect(variant.config.local_postgres(), "read", autocommit=True)


def _wait(done: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not done():
        if time.monotonic() > until:
            raise RuntimeError("the job does not do what is waited for: see its log")
        time.sleep(_LOOK)
