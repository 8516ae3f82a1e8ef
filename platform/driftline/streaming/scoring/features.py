"""A model's feature definition: turns event fields and SQL columns into model inputs.

Training and serving run the same definition, so their features cannot differ.
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
    """The features of a batch of events.

    Attributes:
        features: k rows, the columns of `FeatureDefinition.schema`.
        rows: int32[k], the row of the event batch that each row comes from.
        filtered: int32[f], the rows that the definition filtered out.
    """

    features: pa.RecordBatch
    rows: NDArray[Any]
    filtered: NDArray[Any]


class FeatureDefinition:
    """Computes a model's features from its events.

    Parameters:
        model: the model's section of the config.

    Raises:
        ConfigError: the transform cannot be imported, fails on an empty batch, or returns columns
            that cannot be stored.
    """

    def __init__(self, model: Model) -> None:
        decoded = DECODERS[model.input.decoder](model.input).schema
        added = model.features.sql.columns if model.features.sql else {}
        self.added = pa.schema([pa.field(name, ARROW_TYPES[kind]) for name, kind in added.items()])
        self.events = pa.schema([*decoded, *self.added])
        self._transform, source = _load(model.features.transform)
        try:
            self._output = self._transformed(_empty(self.events)).schema
        except Exception as error:
            raise ConfigError(f"the transform fails on an empty batch: {_text(error)}") from error
        _check(self._output)
        self._filters = KEEP in self._output.names
        self.schema = pa.schema([field for field in self._output if field.name != KEEP])
        self.digest = _digest(model, source)

    def __call__(
        self, events: pa.RecordBatch, rejects: Rejects, messages: NDArray[Any]
    ) -> Featured:
        """Compute the features of a batch; events that the transform fails on are rejected.

        Parameters:
            events: n rows of `self.events`.
            rejects: collects the failures.
            messages: int32[n], the message of each event.

        Raises:
            Exception: the transform's own error, if it fails on every event of a large batch:
                then the code is at fault, not the data.
        """

        def failed(row: int, error: Exception) -> None:
            rejects.add(int(messages[row]), "transform_failed", _text(error))

        outputs, rows = run_isolated(self._checked, events, failed)
        output = _joined(outputs, self._output)
        filtered = np.empty(0, np.int32)
        if self._filters:
            keep = pc.fill_null(output.column(KEEP), False)
            mask = keep.to_numpy(zero_copy_only=False)
            output, rows, filtered = output.filter(keep), rows[mask], rows[~mask]
        features = output.select(self.schema.names)
        reject_count = len(rejects)
        for field in self.schema:
            if field.type == pa.string():
                label = f"feature {field.name!r}"
                reject_nul(label, features.column(field.name), messages[rows], rejects)
        if len(rejects) > reject_count:
            accepted = rejects.accepted(messages[rows])
            features, rows = features.filter(pa.array(accepted)), rows[accepted]
        return Featured(features, rows, filtered)

    def _checked(self, events: pa.RecordBatch) -> pa.RecordBatch:
        """The transform's output, cast to the columns that it returned for an empty batch."""
        output = self._transformed(events)
        if output.schema.names != self._output.names:
            raise ConfigError(
                f"the transform returned the columns {output.schema.names}, but for an empty "
                f"batch {self._output.names}: always return the same columns"
            )
        return output.cast(self._output)

    def _transformed(self, events: pa.RecordBatch) -> pa.RecordBatch:
        output = self._transform(events)
        if not isinstance(output, pa.RecordBatch):
            raise ConfigError(f"the transform returned {type(output).__name__}, not a RecordBatch")
        if len(output) != len(events):
            raise ConfigError(
                f"the transform returned {len(output)} rows for {len(events)} events: return "
                f"exactly one row per event; to filter events, add a bool column {KEEP!r}"
            )
        return output


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=schema)


def _joined(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    if len(batches) == 1:
        return batches[0]
    table = pa.Table.from_batches(batches, schema).combine_chunks()
    return next(iter(table.to_batches()), _empty(schema))


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"


def _load(name: str | None) -> tuple[Transform, str]:
    if name is None:
        return _identity, ""
    module, _, function = name.partition(":")
    try:
        loaded = importlib.import_module(module)
        transform: Transform = getattr(loaded, function)
        return transform, inspect.getsource(loaded)
    except Exception as error:  # importing a module can raise anything
        raise ConfigError(f"can't load the transform {name!r}: {_text(error)}") from error


def _identity(events: pa.RecordBatch) -> pa.RecordBatch:
    """Use every field as a feature, except the event's id and time."""
    return events.select([name for name in events.schema.names if name not in SYSTEM_COLUMNS])


def _check(output: pa.Schema) -> None:
    if KEEP in output.names and output.field(KEEP).type != pa.bool_():
        raise ConfigError(f"the transform's column {KEEP!r} must be of type bool")
    if set(output.names) <= {KEEP}:
        raise ConfigError("the transform returns no features: return at least one column")
    for field in output:
        if field.name in SYSTEM_COLUMNS:
            raise ConfigError(f"the transform's column {field.name!r} is reserved: rename it")
        if output.names.count(field.name) > 1:
            raise ConfigError(f"the transform returns column {field.name!r} twice: rename one")
        if field.type not in _STORED_TYPES and not is_tensor(field.type):
            allowed = ", ".join(sorted(map(str, _STORED_TYPES))) + " or fixed_size_list of float"
            column = f"the transform's column {field.name!r}"
            raise ConfigError(f"{column} has type {field.type}: cast it to one of {allowed}")


def _digest(model: Model, source: str) -> str:
    """A hash that changes whenever the same event could produce different features."""
    definition = {
        "input": model.input.model_dump(mode="json", exclude={"topic", "accept"}),
        "features": model.features.model_dump(mode="json"),
        "source": source,
    }
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
