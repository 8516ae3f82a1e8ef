"""Model inputs that several versions need of the same batch: built once, with the time saved."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

import pyarrow as pa

_last = threading.local()


def shared_input(features: pa.RecordBatch, key: Hashable, build: Callable[[], Any]) -> Any:
    """The result of `build` for a batch, cached until this thread asks for another batch.

    Parameters:
        features: the batch, compared by identity; batches are immutable.
        key: identifies the result; equal keys must stand for equal results.
        build: builds the result.

    >>> batch = pa.RecordBatch.from_pydict({"x": [1]})
    >>> shared_input(batch, "x", lambda: "first"), shared_input(batch, "x", lambda: "second")
    ('first', 'first')
    """
    if getattr(_last, "features", None) is not features:
        _last.features, _last.inputs = features, {}
    inputs: dict[Hashable, tuple[Any, float]] = _last.inputs
    if key in inputs:
        value, seconds = inputs[key]
        _last.saved = getattr(_last, "saved", 0.0) + seconds
        return value
    started = time.perf_counter()
    value = build()
    inputs[key] = value, time.perf_counter() - started
    return value


def pop_saved_seconds() -> float:
    """Seconds that cached inputs have saved this thread since the last call.

    Add them to a version's own time: otherwise the first to score a batch pays for all versions.

    >>> pop_saved_seconds() >= 0.0, pop_saved_seconds()
    (True, 0.0)
    """
    seconds: float = getattr(_last, "saved", 0.0)
    _last.saved = 0.0
    return seconds
