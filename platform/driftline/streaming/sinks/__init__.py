"""Where predictions are logged: one file a sink, one line in `SINKS`."""

from collections.abc import Callable
from typing import Protocol

from driftline.config import Config
from driftline.profile.binning import Binning
from driftline.records import ScoredBatch, StoredBatch
from driftline.streaming.sinks.timescale import TimescaleSink


class Sink(Protocol):
    """A store of predictions.

    `write` is durable on return and idempotent: the same messages written again, in any split
    into batches, change nothing and give back what was stored first.
    """

    def write(self, batch: ScoredBatch) -> StoredBatch:
        """Store what is new of the batch and give what the store holds for all of it."""

    def close(self) -> None:
        """Let go of connections; safe to call twice."""


BinningOf = Callable[[int], Binning]

#: By name; made of the config, the model's name, and how each version is profiled.
SINKS: dict[str, Callable[[Config, str, BinningOf | None], Sink]] = {"timescaledb": TimescaleSink}
