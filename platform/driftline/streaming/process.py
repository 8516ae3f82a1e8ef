"""Messages to scored rows: decode, features, score. Knows neither Flink nor the database."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from driftline.names import CHAMPION
from driftline.records import POSITION, PREDICTION, ScoredBatch
from driftline.streaming.decode import JsonDecoder
from driftline.streaming.features import FeatureDefinition
from driftline.streaming.isolate import run_isolated
from driftline.streaming.rejects import Rejects
from registry.runtime import Runtime, score


@dataclass(frozen=True)
class Served:
    """A model version that predicts."""

    version: int
    runtime: Runtime


@dataclass(frozen=True)
class Messages:
    """A batch as Flink hands it over.

    Attributes:
        payloads: the values of n messages, None for a tombstone.
        partition, offset: int32[n], int64[n].
        kafka_time: datetime64[us][n], UTC.
        late: bool[n], too late for the window features.
        added: the columns that the feature query added, n rows.
    """

    payloads: Sequence[bytes | None]
    partition: NDArray[Any]
    offset: NDArray[Any]
    kafka_time: NDArray[Any]
    late: NDArray[Any]
    added: pa.RecordBatch

    def positions(self) -> pa.RecordBatch:
        """Where the messages stand in their topic, as `POSITION`."""
        columns = (self.partition, self.offset, self.kafka_time)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, POSITION, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=POSITION)


class Process:
    """Turns messages into predictions and rejects; every message becomes one of them.

    Parameters:
        decoder: by the model's `input` section.
        definition: the model's feature definition.
    """

    def __init__(self, decoder: JsonDecoder, definition: FeatureDefinition) -> None:
        self._decoder = decoder
        self._definition = definition

    def __call__(self, messages: Messages, served: Served) -> ScoredBatch:
        """Score a batch with one model version.

        Raises:
            Exception: what the transform or the model raised, when it fails on every event of a
                large batch.
        """
        rejects = Rejects(messages.payloads)
        features, rows, filtered, events = self._features(messages, rejects)
        bad, columns = served.runtime.unusable(features)
        if bad.any():
            names = ", ".join(map(repr, columns))
            text = f"the model needs {names}, which may not be missing"
            rejects.add_where(bad, rows, "missing_feature", lambda _: text)
        started = time.perf_counter()
        good = ~bad
        features, rows, events = _keep(good, features, rows, events)
        outputs, predicted = _predict(served.runtime, features, rows, rejects)
        elapsed_ms = (time.perf_counter() - started) * 1_000
        features, rows, events = _keep(predicted, features, rows, events)
        scores, others = _outputs(outputs, len(features))
        finite = np.isfinite(scores)
        if not finite.all():
            rejects.add_where(
                ~finite, rows, "not_finite_score", lambda row: f"the model gave {scores[row]}"
            )
            features, rows, events = _keep(finite, features, rows, events)
            scores, others = scores[finite], others.filter(pa.array(finite))
        n = len(scores)
        now = np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")
        head = [
            events.column("event_time"),
            events.column("event_id"),
            pa.array(np.full(n, served.version, np.int32)),
            pa.repeat(CHAMPION, n),
            pa.array(scores),
            others,
            pa.array(messages.late[rows]),
            pa.array(np.full(n, now), PREDICTION.field("scored_at").type),
            pa.array(np.full(n, elapsed_ms, np.float32)),
        ]
        predictions = pa.RecordBatch.from_arrays(
            [*head, *features.columns], schema=pa.schema([*PREDICTION, *features.schema])
        )
        return ScoredBatch(messages.positions(), predictions, rows, rejects.batch(), filtered)

    def _features(
        self, messages: Messages, rejects: Rejects
    ) -> tuple[pa.RecordBatch, NDArray[Any], NDArray[Any], pa.RecordBatch]:
        """Features and events of the kept messages, their messages, and the filtered ones."""
        decoded = self._decoder(messages.payloads, messages.kafka_time, rejects)
        added = messages.added.take(pa.array(decoded.messages))
        events = pa.RecordBatch.from_arrays(
            [*decoded.events.columns, *added.columns], schema=self._definition.events
        )
        featured = self._definition(events, rejects, decoded.messages)
        return (
            featured.features,
            decoded.messages[featured.rows],
            decoded.messages[featured.filtered],
            events.take(pa.array(featured.rows)),
        )


def _predict(
    runtime: Runtime, features: pa.RecordBatch, messages: NDArray[Any], rejects: Rejects
) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """The outputs by name, and which of the n rows have them, bool[n]."""

    def failed(row: int, error: Exception) -> None:
        rejects.add(int(messages[row]), "model_failed", f"{type(error).__name__}: {error}")

    good = np.zeros(len(features), dtype=bool)
    if not len(features):
        return {}, good
    parts, rows = run_isolated(runtime.predict, features, failed)
    good[rows] = True
    names = parts[0] if parts else ()
    return {name: np.concatenate([part[name] for part in parts]) for name in names}, good


def _keep(
    mask: NDArray[Any], features: pa.RecordBatch, rows: NDArray[Any], events: pa.RecordBatch
) -> tuple[pa.RecordBatch, NDArray[Any], pa.RecordBatch]:
    if mask.all():
        return features, rows, events
    keep = pa.array(mask)
    return features.filter(keep), rows[mask], events.filter(keep)


def _outputs(outputs: dict[str, NDArray[Any]], n: int) -> tuple[NDArray[Any], pa.Array]:
    """The monitored score, float64[n], and all outputs as JSON where there is more than it."""
    if not outputs:
        return np.empty(n), pa.nulls(n, pa.string())
    if len(outputs) == 1 and next(iter(outputs.values())).size == n:
        return score(outputs), pa.nulls(n, pa.string())
    frame = pd.DataFrame({name: list(values) for name, values in outputs.items()})
    lines = frame.to_json(orient="records", lines=True).splitlines()
    return score(outputs), pa.array(lines, pa.string())
