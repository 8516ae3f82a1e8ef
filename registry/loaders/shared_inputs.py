"""What several versions make of the same batch, made once."""

import threading
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
    made: dict[Hashable, Any] = _last.made
    if key not in made:
        made[key] = make()
    return made[key]
