"""The feature definition of a model: event fields and SQL columns in, model inputs out.

Training and serving run the same definition, so they cannot drift apart.
"""

import hashlib
import importlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.config import Model
from driftline.errors import ConfigError
from driftline.names import KEEP, SYSTEM_COLUMNS
from driftline.streaming.decode import ARROW_TYPES, DECODERS
from driftline.streaming.rejects import Rejects

Transform = Callable[[pa.RecordBatch], pa.RecordBatch]

_STORED_TYPES = frozenset(ARROW_TYPES.values())


@dataclass(frozen=True)
class Featured:
    """The features of the events that could be made into features.

    Attributes:
        features: k rows, the columns of `FeatureDefinition.schema`.
        rows: int32[k], the row of the event batch that each came from.
        filtered: int32[f], the rows that the definition left out.
    """

    features: pa.RecordBatch
    rows: np.ndarray
    filtered: np.ndarray


class FeatureDefinition:
    """How a model's events become its features.

    Parameters:
        model: the model's section of the config.

    Raises:
        ConfigError: the transform cannot be imported, fails on an empty batch, or gives columns
            that cannot be stored.
    """

    def __init__(self, model: Model) -> None:
        decoded = DECODERS[model.input.decoder](model.input).schema
        added = model.features.sql.columns if model.features.sql else {}
        self.added = pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in added.items()])
        self.events = pa.schema([*decoded, *self.added])
        self._transform, source = _load(model.features.transform)
        output = self._run(pa.RecordBatch.from_pylist([], schema=self.events))
        self._filters = KEEP in output.schema.names
        self.schema = pa.schema([field for field in output.schema if field.name != KEEP])
        _check(self.schema, output.schema)
        self.digest = _digest(model, source)

    def __call__(self, events: pa.RecordBatch, rejects: Rejects, messages: np.ndarray) -> Featured:
        """Features of a batch; an event that the transform fails on is rejected, the rest go on.

        Parameters:
            events: n rows of `self.events`.
            rejects: collects the failures.
            messages: int32[n], the message of each event.

        Raises:
            Exception: what the transform raised, when it fails on every event of a batch: then
                the code is at fault, not the data.
        """
        rows = np.arange(len(events), dtype=np.int32)
        try:
            output = self._run(events)
        except Exception as error:
            output, rows = self._without_failures(events, rejects, messages, error)
        if not self._filters:
            return Featured(output, rows, np.empty(0, np.int32))
        keep = pc.fill_null(output.column(KEEP), False).to_numpy(zero_copy_only=False)
        kept = output.filter(pa.array(keep)).select(self.schema.names)
        return Featured(kept, rows[keep], rows[~keep])

    def _run(self, events: pa.RecordBatch) -> pa.RecordBatch:
        output = self._transform(events)
        if not isinstance(output, pa.RecordBatch):
            raise ConfigError(f"the transform gave {type(output).__name__}, not a RecordBatch")
        if len(output) != len(events):
            raise ConfigError(
                f"the transform gave {len(output)} rows for {len(events)} events: "
                f"exactly one row an event, use a column {KEEP!r} to leave events out"
            )
        return output

    def _without_failures(
        self, events: pa.RecordBatch, rejects: Rejects, messages: np.ndarray, error: Exception
    ) -> tuple[pa.RecordBatch, np.ndarray]:
        """Halve the batch until each failing event stands alone."""
        good: list[tuple[int, pa.RecordBatch]] = []
        todo = [(0, len(events))]
        while todo:
            start, size = todo.pop()
            try:
                good.append((start, self._run(events.slice(start, size))))
            except Exception as failure:
                if size > 1:
                    half = size // 2
                    todo += [(start, half), (start + half, size - half)]
                else:
                    detail = f"{type(failure).__name__}: {failure}"
                    rejects.add(int(messages[start]), "transform_failed", detail)
        if not good:
            raise error
        good.sort(key=lambda part: part[0])
        rows = [np.arange(start, start + len(part), dtype=np.int32) for start, part in good]
        table = pa.Table.from_batches([part for _, part in good]).combine_chunks()
        return table.to_batches()[0], np.concatenate(rows)


def _load(name: str | None) -> tuple[Transform, str]:
    if name is None:
        return _identity, ""
    module, _, function = name.partition(":")
    try:
        transform: Transform = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"can't load the transform {name!r}: {error}") from error
    return transform, inspect.getsource(importlib.import_module(module))


def _identity(events: pa.RecordBatch) -> pa.RecordBatch:
    """Every field but the event's id and time is a feature."""
    return events.select([name for name in events.schema.names if name not in SYSTEM_COLUMNS])


def _check(features: pa.Schema, output: pa.Schema) -> None:
    if KEEP in output.names and output.field(KEEP).type != pa.bool_():
        raise ConfigError(f"the transform's column {KEEP!r} is not of type bool")
    for field in features:
        if field.name in SYSTEM_COLUMNS:
            raise ConfigError(f"the transform's column {field.name!r} is driftline's own: rename")
        if field.type not in _STORED_TYPES:
            allowed = ", ".join(sorted(map(str, _STORED_TYPES)))
            raise ConfigError(
                f"the transform's column {field.name!r} is {field.type}: cast it to one of {allowed}"
            )


def _digest(model: Model, source: str) -> str:
    """A hash that changes when the same event could give other features."""
    definition = {
        "input": model.input.model_dump(mode="json", exclude={"topic", "accept"}),
        "features": model.features.model_dump(mode="json"),
        "source": source,
    }
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
