"""Runs a function over a batch and isolates the rows on which it fails."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.errors import ServiceError

T = TypeVar("T")

# If all of at least this many rows fail, the function is at fault, not the data.
SYSTEMATIC_FAILURE_ROWS = 100


def run_isolated(
    function: Callable[[pa.RecordBatch], T],
    rows: pa.RecordBatch,
    failed: Callable[[int, Exception], None],
) -> tuple[list[T], NDArray[Any]]:
    """Call a function on all rows except those on which it fails.

    A batch that fails is halved until each failing row is alone.

    Parameters:
        function: batch in, result out; a row's result must not depend on the other rows.
        rows: n rows.
        failed: called with each failing row and its error.

    Returns:
        The results, one for each part of the batch, and the k rows that they cover, int32[k].

    Raises:
        Exception: the function's own error, if all of `SYSTEMATIC_FAILURE_ROWS` rows or more fail.
        ServiceError: a service that the function needs is unavailable; no row is tried again.

    >>> batch = pa.RecordBatch.from_pydict({"x": ["1", "2", "?", "4"]})
    >>> run_isolated(lambda b: [int(x) for x in b["x"].to_pylist()], batch, lambda *_: None)
    ([[1, 2], [4]], array([0, 1, 3], dtype=int32))
    """
    results: list[T] = []
    covered: list[NDArray[Any]] = []
    failures: list[tuple[int, Exception]] = []
    pending = [(0, len(rows))] if len(rows) else []
    while pending:
        start, size = pending.pop()
        try:
            # pass a whole batch itself, not a slice: runtimes share the tensors they make of it
            results.append(function(rows if size == len(rows) else rows.slice(start, size)))
            covered.append(np.arange(start, start + size, dtype=np.int32))
        except ServiceError:
            raise  # not the fault of a row
        except Exception as error:
            if size > 1:
                half = size // 2
                pending += [(start + half, size - half), (start, half)]
            else:
                failures.append((start, error))
    if len(failures) == len(rows) >= SYSTEMATIC_FAILURE_ROWS:
        raise failures[0][1]
    for row, failure in failures:
        failed(row, failure)
    if len(covered) == 1:
        return results, covered[0]
    return results, np.concatenate([np.empty(0, np.int32), *covered])
