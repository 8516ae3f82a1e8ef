"""Sinks, which store predictions: one file per sink, and one line in `SINKS`."""

from collections.abc import Callable
from typing import Protocol

from driftline.config import Config
from driftline.profile.binning import Binning
from driftline.records import ScoredBatch, StoredBatch
from driftline.streaming.sinks.timescale import TimescaleSink


class Sink(Protocol):
    """Stores predictions.

    `write` is durable on return and idempotent: writing the same messages again, however they are
    split into batches, changes nothing and returns what was stored first.
    """

    def write(self, batch: ScoredBatch) -> StoredBatch:
        """Store the batch's new messages; returns what is stored for all of its messages."""

    def close(self) -> None:
        """Close connections; safe to call twice."""


BinningOf = Callable[[int], Binning]

#: By name; created from the config, the model's name, and the binning of each version.
SINKS: dict[str, Callable[[Config, str, BinningOf | None], Sink]] = {"timescaledb": TimescaleSink}
