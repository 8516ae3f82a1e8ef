"""Sets of offsets, as PostgreSQL's multiranges and as numpy arrays."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from driftline.errors import AuditError


def to_multirange(offsets: NDArray[Any]) -> Multirange[int]:
    """A set of offsets, int64[n] in any order, as PostgreSQL stores it.

    >>> [(r.lower, r.upper) for r in to_multirange(np.array([7, 3, 4, 5]))]
    [(3, 6), (7, 8)]
    """
    if len(offsets) == 0:
        return Multirange()
    ordered = np.unique(offsets)
    breaks = np.flatnonzero(np.diff(ordered) > 1)
    first = ordered[np.concatenate(([0], breaks + 1))]
    last = ordered[np.concatenate((breaks, [len(ordered) - 1]))]
    return Multirange(Range(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))


def contains(ranges: Iterable[Range[int]], offsets: NDArray[Any]) -> NDArray[Any]:
    """Which of the offsets, int64[n], lie in the ascending, disjoint ranges: bool[n].

    >>> contains([Range(3, 6)], np.array([2, 3, 5, 6]))
    array([False,  True,  True, False])
    """
    bounds = [_bounds(offset_range) for offset_range in ranges]
    if not bounds:
        return np.zeros(len(offsets), dtype=bool)
    lower, upper = np.array(bounds, dtype=np.int64).T
    index = np.searchsorted(lower, offsets, side="right") - 1
    inside: NDArray[Any] = (index >= 0) & (offsets < upper[index])
    return inside


def _bounds(offset_range: Range[int]) -> tuple[int, int]:
    if offset_range.lower is None or offset_range.upper is None:
        raise AuditError(
            f"the ledger holds an open range {offset_range!r}, which driftline never writes"
        )
    return offset_range.lower, offset_range.upper
