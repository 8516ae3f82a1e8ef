"""The feature definition of a model: event fields and SQL columns in, model inputs out.

Training and serving run the same definition, so they cannot drift apart.
"""

import hashlib
import importlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.config import Model
from driftline.errors import ConfigError
from driftline.names import KEEP, SYSTEM_COLUMNS
from driftline.streaming.scoring.decode import ARROW_TYPES, DECODERS, is_tensor, reject_nul
from driftline.streaming.scoring.isolate import run_isolated
from driftline.streaming.scoring.rejects import Rejects

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
    rows: NDArray[Any]
    filtered: NDArray[Any]


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
        try:
            self._output = self._transformed(_nothing(self.events)).schema
        except Exception as error:
            raise ConfigError(f"the transform fails without events: {_told(error)}") from error
        _check(self._output)
        self._filters = KEEP in self._output.names
        self.schema = pa.schema([field for field in self._output if field.name != KEEP])
        self.digest = _digest(model, source)

    def __call__(
        self, events: pa.RecordBatch, rejects: Rejects, messages: NDArray[Any]
    ) -> Featured:
        """Features of a batch; an event that the transform fails on is rejected, the rest go on.

        Parameters:
            events: n rows of `self.events`.
            rejects: collects the failures.
            messages: int32[n], the message of each event.

        Raises:
            Exception: what the transform raised, when it fails on every event of a large batch:
                then the code is at fault, not the data.
        """

        def failed(row: int, error: Exception) -> None:
            rejects.add(int(messages[row]), "transform_failed", _told(error))

        outputs, rows = run_isolated(self._checked, events, failed)
        output = _joined(outputs, self._output)
        filtered = np.empty(0, np.int32)
        if self._filters:
            keep = pc.fill_null(output.column(KEEP), False)
            kept = keep.to_numpy(zero_copy_only=False)
            output, rows, filtered = output.filter(keep), rows[kept], rows[~kept]
        features = output.select(self.schema.names)
        known = len(rejects)
        for field in self.schema:
            if field.type == pa.string():
                what = f"feature {field.name!r}"
                reject_nul(what, features.column(field.name), messages[rows], rejects)
        if len(rejects) > known:
            good = rejects.spared(messages[rows])
            features, rows = features.filter(pa.array(good)), rows[good]
        return Featured(features, rows, filtered)

    def _checked(self, events: pa.RecordBatch) -> pa.RecordBatch:
        """What the transform gives, as it said that it would without events."""
        output = self._transformed(events)
        if output.schema.names != self._output.names:
            raise ConfigError(
                f"the transform gave the columns {output.schema.names}, "
                f"without events {self._output.names}: always give the same"
            )
        return output.cast(self._output)

    def _transformed(self, events: pa.RecordBatch) -> pa.RecordBatch:
        output = self._transform(events)
        if not isinstance(output, pa.RecordBatch):
            raise ConfigError(f"the transform gave {type(output).__name__}, not a RecordBatch")
        if len(output) != len(events):
            raise ConfigError(
                f"the transform gave {len(output)} rows for {len(events)} events: "
                f"exactly one row an event, use a column {KEEP!r} to leave events out"
            )
        return output


def _nothing(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _joined(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    return next(iter(table.to_batches()), _nothing(schema))


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"


def _load(name: str | None) -> tuple[Transform, str]:
    if name is None:
        return _identity, ""
    module, _, function = name.partition(":")
    try:
        loaded = importlib.import_module(module)
        transform: Transform = getattr(loaded, function)
        return transform, inspect.getsource(loaded)
    except Exception as error:  # a module may fail in any way
        raise ConfigError(f"can't load the transform {name!r}: {_told(error)}") from error


def _identity(events: pa.RecordBatch) -> pa.RecordBatch:
    """Every field but the event's id and time is a feature."""
    return events.select([name for name in events.schema.names if name not in SYSTEM_COLUMNS])


def _check(output: pa.Schema) -> None:
    if KEEP in output.names and output.field(KEEP).type != pa.bool_():
        raise ConfigError(f"the transform's column {KEEP!r} is not of type bool")
    if set(output.names) <= {KEEP}:
        raise ConfigError("the transform gives no features: give at least one column")
    for field in output:
        if field.name in SYSTEM_COLUMNS:
            raise ConfigError(f"the transform's column {field.name!r} is driftline's own: rename")
        if output.names.count(field.name) > 1:
            raise ConfigError(f"the transform's column {field.name!r} is there twice: rename one")
        if field.type not in _STORED_TYPES and not is_tensor(field.type):
            allowed = ", ".join(sorted(map(str, _STORED_TYPES))) + " or fixed_size_list of float"
            column = f"the transform's column {field.name!r}"
            raise ConfigError(f"{column} is {field.type}: cast it to one of {allowed}")


def _digest(model: Model, source: str) -> str:
    """A hash that changes when the same event could give other features."""
    definition = {
        "input": model.input.model_dump(mode="json", exclude={"topic", "accept"}),
        "features": model.features.model_dump(mode="json"),
        "source": source,
    }
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
