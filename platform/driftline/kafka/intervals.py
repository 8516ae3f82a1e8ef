"""Sets of offsets as intervals: what an audit compares, small however many records there are.

A set is an int64[k, 2] array of half-open intervals, ascending, disjoint and not adjacent.
"""

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

EMPTY: Ints = np.zeros((0, 2), dtype=np.int64)


def of(offsets: npt.ArrayLike) -> Ints:
    """The set of some offsets, int64[n] in any order, repeats allowed.

    >>> of([7, 3, 4, 4]).tolist()
    [[3, 5], [7, 8]]
    """
    ordered = np.unique(np.asarray(offsets, dtype=np.int64))
    if len(ordered) == 0:
        return EMPTY
    breaks = np.flatnonzero(np.diff(ordered) > 1)
    first = ordered[np.concatenate(([0], breaks + 1))]
    last = ordered[np.concatenate((breaks, [len(ordered) - 1]))]
    return np.stack((first, last + 1), axis=1)


def size(spans: Ints) -> int:
    """How many offsets the set has.

    >>> size(of([1, 2, 9]))
    3
    """
    return int((spans[:, 1] - spans[:, 0]).sum())


def union(*many: Ints) -> Ints:
    """What is in any of them; they need not be sets: intervals may overlap, in any order.

    >>> union(of([1, 2]), of([2, 3])).tolist()
    [[1, 4]]
    """
    return _where(*_sweep(*((spans, 1) for spans in many)), at_least=1)


def repeated(*many: Ints) -> Ints:
    """What is in two of them or more, or twice in one that is not a set; so `a & b` of two sets.

    >>> repeated(of([1, 2]), of([2, 3])).tolist()
    [[2, 3]]
    """
    return _where(*_sweep(*((spans, 1) for spans in many)), at_least=2)


def subtract(spans: Ints, others: Ints) -> Ints:
    """What is in the first set and not in the second.

    >>> subtract(of([1, 2, 3]), of([2])).tolist()
    [[1, 2], [3, 4]]
    """
    return _where(*_sweep((spans, 1), (others, -1)), at_least=1)


def counts(spans: Ints, within: Ints) -> Ints:
    """How many offsets of a set lie within each of m intervals, int64[m].

    >>> counts(of([1, 2, 9]), np.array([[0, 2], [0, 10]])).tolist()
    [1, 3]
    """
    if len(spans) == 0:
        return np.zeros(len(within), dtype=np.int64)
    cumulative = np.concatenate(([0], np.cumsum(spans[:, 1] - spans[:, 0])))

    def below(limits: Ints) -> Ints:
        index = np.searchsorted(spans[:, 0], limits, side="right") - 1
        partial = np.minimum(limits, spans[index, 1]) - spans[index, 0]
        return np.where(index < 0, 0, cumulative[index] + partial)

    result: Ints = below(within[:, 1]) - below(within[:, 0])
    return result


def _sweep(*weighted: tuple[Ints, int]) -> tuple[Ints, Ints]:
    """The points where the total weight changes, and the weight from each on."""
    points = np.concatenate([spans.T.ravel() for spans, _ in weighted])
    change = np.concatenate(
        [np.repeat([weight, -weight], len(spans)) for spans, weight in weighted]
    )
    distinct, place = np.unique(points, return_inverse=True)
    total = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(total, place, change)
    return distinct, np.cumsum(total)


def _where(points: Ints, weight: Ints, at_least: int) -> Ints:
    inside = np.concatenate(([False], weight >= at_least))
    change = np.flatnonzero(np.diff(inside.astype(np.int8)))
    return points[change].reshape(-1, 2)
