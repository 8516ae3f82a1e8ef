"""Running a function over a batch of which some rows may make it fail."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.errors import ServiceError

T = TypeVar("T")

# When so many rows fail and not one does not, the function is at fault, not the data.
TOO_MANY = 100


def run_isolated(
    function: Callable[[pa.RecordBatch], T],
    rows: pa.RecordBatch,
    failed: Callable[[int, Exception], None],
) -> tuple[list[T], NDArray[Any]]:
    """Call a function on all rows, or, when it fails, on all but those that it fails on.

    The batch is halved until each failing row stands alone.

    Parameters:
        function: batch in, result out; what a row gives must not depend on its neighbours.
        rows: n rows.
        failed: told each failing row and why.

    Returns:
        The results, of one batch after the other, and the k rows that they cover, int32[k].

    Raises:
        Exception: what the function raised, when it fails on each of `TOO_MANY` rows or more.
        ServiceError: at once, whatever the rows: a service that the function needs is away.

    >>> batch = pa.RecordBatch.from_pydict({"x": ["1", "2", "?", "4"]})
    >>> run_isolated(lambda b: [int(x) for x in b["x"].to_pylist()], batch, lambda *_: None)
    ([[1, 2], [4]], array([0, 1, 3], dtype=int32))
    """
    results: list[T] = []
    covered: list[NDArray[Any]] = []
    failures: list[tuple[int, Exception]] = []
    todo = [(0, len(rows))] if len(rows) else []
    while todo:
        start, size = todo.pop()
        try:
            # the batch itself where it is whole: runtimes share what they make of it
            results.append(function(rows if size == len(rows) else rows.slice(start, size)))
            covered.append(np.arange(start, start + size, dtype=np.int32))
        except ServiceError:
            raise  # a service is away: no row's fault
        except Exception as error:
            if size > 1:
                half = size // 2
                todo += [(start + half, size - half), (start, half)]
            else:
                failures.append((start, error))
    if len(failures) == len(rows) >= TOO_MANY:
        raise failures[0][1]
    for row, failure in failures:
        failed(row, failure)
    if len(covered) == 1:
        return results, covered[0]
    return results, np.concatenate([np.empty(0, np.int32), *covered])
