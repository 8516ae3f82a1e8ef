"""What several versions make of the same batch, made once, and what that spares the others."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

import pyarrow as pa

_last = threading.local()


def shared(features: pa.RecordBatch, key: Hashable, make: Callable[[], Any]) -> Any:
    """What `make` gives for a batch, remembered until this thread asks for another batch.

    Parameters:
        features: the batch, told by its identity; batches never change.
        key: what is made of it; equal keys must stand for equal results.
        make: makes it.

    >>> batch = pa.RecordBatch.from_pydict({"x": [1]})
    >>> shared(batch, "x", lambda: "made"), shared(batch, "x", lambda: "made again")
    ('made', 'made')
    """
    if getattr(_last, "features", None) is not features:
        _last.features, _last.made = features, {}
    made: dict[Hashable, tuple[Any, float]] = _last.made
    if key in made:
        value, seconds = made[key]
        _last.spared = getattr(_last, "spared", 0.0) + seconds
        return value
    began = time.perf_counter()
    value = make()
    made[key] = value, time.perf_counter() - began
    return value


def spared() -> float:
    """Seconds that this thread was spared since it asked last.

    To be added to what a version took: else the first to score a batch pays for all.

    >>> spared() >= 0.0, spared()
    (True, 0.0)
    """
    seconds: float = getattr(_last, "spared", 0.0)
    _last.spared = 0.0
    return seconds
