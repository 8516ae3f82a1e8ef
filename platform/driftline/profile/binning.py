"""How each profiled column is divided into cells: frozen with the reference.

Cells of one column, in its own order:

- numeric and log: below, the bins, above, missing, invalid (NaN or infinite)
- category: the categories, other (in the reference, but too rare), unseen (in one or more cells by
  hash), missing
- bool: false, true, missing

In a `Binning` the cells that carry sums (below, bins and above of numeric columns) of all columns
come first, so that a packed profile can hold sums for exactly those.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from driftline.errors import SchemaError

FORMAT = 1
MAX_HASHED = 4_096  # most hashed cells of a text column
FINEST = 8  # the level of a coarsening that merges nothing

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Numbers = TypeVar("Numbers", Ints, Floats)

# 128 bins per octave: each is between 0.39 % and 0.78 % wide, and a bit shift finds it.
_LOG_SHIFT = 52 - 7


@dataclass(frozen=True)
class NumericBins:
    """Quantile bins of a reference, left-closed: bin i is `edges[i] <= x < edges[i + 1]`.

    Attributes:
        name: the column.
        edges: bins + 1 ascending numbers; the outer two are robust limits, not extremes.
        levels: bins - 1 numbers from 1 to 8: the coarsest level that still has this inner edge.

    >>> NumericBins("x", (0.0, 1.0, 2.0, 3.0), (2, 1)).coarse(1).edges
    (0.0, 2.0, 3.0)
    """

    kind: ClassVar[str] = "numeric"

    name: str
    edges: tuple[float, ...]
    levels: tuple[int, ...]

    @property
    def bins(self) -> int:
        """The number of bins between the limits."""
        return len(self.edges) - 1

    @property
    def summed(self) -> int:
        """Cells that carry a sum: below, the bins, above."""
        return self.bins + 2

    @property
    def plain(self) -> int:
        """Cells without a sum: missing, invalid."""
        return 2

    @property
    def top(self) -> float:
        """The largest number within the limits."""
        return float(np.nextafter(self.edges[-1], -np.inf))

    def starts(self, level: int) -> Ints:
        """The first bin of each merged bin at a level, for `np.add.reduceat`."""
        inner = [i + 1 for i, edge in enumerate(self.levels) if edge <= level]
        return np.array([0, *inner], dtype=np.int64)

    def coarse(self, level: int) -> "NumericBins":
        """Merge neighbours into about 2**level bins of equal mass; heavy points keep their own bin.

        Parameters:
            level: 0 (one bin) to 8 (all bins). Each level's edges are among the next one's.
        """
        inner = [i for i, edge in enumerate(self.levels) if edge <= level]
        edges = (self.edges[0], *(self.edges[i + 1] for i in inner), self.edges[-1])
        return NumericBins(self.name, edges, tuple(self.levels[i] for i in inner))

    def labels(self) -> list[str]:
        """One name per cell, in the column's order."""
        return [*_interval_labels(self.edges), "missing", "invalid"]


@dataclass(frozen=True)
class LogBins:
    """Bins less than 1 % wide from 0.01 ms to 1 h, the same for every model; no sums.

    128 bins per octave, as in an HDR histogram: the bin is the top bits of the float itself.
    """

    kind: ClassVar[str] = "log"
    first: ClassVar[int] = int(np.float64(0.01).view(np.int64)) >> _LOG_SHIFT
    last: ClassVar[int] = int(np.float64(3.6e6).view(np.int64)) >> _LOG_SHIFT
    shift: ClassVar[int] = _LOG_SHIFT
    bins: ClassVar[int] = last - first + 1
    summed: ClassVar[int] = 0
    plain: ClassVar[int] = bins + 4

    name: str

    @property
    def edges(self) -> tuple[float, ...]:
        """bins + 1 ascending numbers, in milliseconds."""
        return _LOG_EDGES

    def labels(self) -> list[str]:
        """One name per cell, in the column's order."""
        return [*_interval_labels(self.edges), "missing", "invalid"]


@dataclass(frozen=True)
class CategoryBins:
    """The most frequent values of a reference.

    Attributes:
        name: the column.
        categories: the values with a cell of their own, most frequent first.
        pooled: the reference's other values, which share one cell; None if there were too many
            to store: a new value then counts as `other`, never as `unseen`.
        hashed: number of cells that all other values share by hash, so that a frequent new value
            is visible among many; a power of 2.
    """

    kind: ClassVar[str] = "category"
    summed: ClassVar[int] = 0

    name: str
    categories: tuple[str, ...]
    pooled: tuple[str, ...] | None = ()
    hashed: int = 1

    @property
    def plain(self) -> int:
        """The categories, other, the hashed cells, missing."""
        return len(self.categories) + 2 + self.hashed

    @property
    def by_hash(self) -> slice:
        """The hashed cells, in the column's order."""
        first = len(self.categories) + 1
        return slice(first, first + self.hashed)

    @property
    def hashed_in(self) -> int:
        """The joined cell of the hashed ones: unseen, or other if `pooled` is unknown."""
        return -2 if self.pooled is not None or self.hashed == 1 else -3

    def joined(self, cells: Numbers) -> Numbers:
        """Join the hashed cells: [..., k + 3], the categories, other, unseen and missing.

        Parameters:
            cells: [..., plain].
        """
        head, missing = cells[..., : self.by_hash.start], cells[..., -1:]
        joined: Numbers = np.concatenate((head, np.zeros_like(missing), missing), axis=-1)
        joined[..., self.hashed_in] += cells[..., self.by_hash].sum(axis=-1)
        return joined

    def labels(self) -> list[str]:
        """One name per joined cell, in the column's order."""
        return [*self.categories, "other", "unseen", "missing"]


@dataclass(frozen=True)
class BoolBins:
    """False, true, missing."""

    kind: ClassVar[str] = "bool"
    summed: ClassVar[int] = 0
    plain: ClassVar[int] = 3

    name: str

    def labels(self) -> list[str]:
        """One name per cell, in the column's order."""
        return ["false", "true", "missing"]


ColumnBins = NumericBins | LogBins | CategoryBins | BoolBins


@dataclass(frozen=True)
class Cells:
    """The positions of one column's cells among all cells of a binning."""

    summed: slice
    plain: slice


@dataclass(frozen=True, eq=False)
class Binning:
    """The frozen cells of all profiled columns of a model version; equal when their ids are.

    >>> binning = Binning((NumericBins("x", (0.0, 1.0), ()), BoolBins("b")))
    >>> binning.size, binning.summed, Binning.from_json(binning.to_json()) == binning
    (8, 3, True)
    """

    columns: tuple[ColumnBins, ...]

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Binning) and self.id == other.id)

    def __hash__(self) -> int:
        return hash(self.id)

    @cached_property
    def id(self) -> str:
        """16 hex digits that name this binning, equal for equal cells."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    @cached_property
    def summed(self) -> int:
        """The number of cells that carry a sum, which come first."""
        return sum(column.summed for column in self.columns)

    @cached_property
    def size(self) -> int:
        """The number of cells."""
        return self.summed + sum(column.plain for column in self.columns)

    @cached_property
    def cells(self) -> Mapping[str, Cells]:
        """The positions of each column's cells."""
        places, summed, plain = {}, 0, self.summed
        for column in self.columns:
            places[column.name] = Cells(
                slice(summed, summed + column.summed), slice(plain, plain + column.plain)
            )
            summed, plain = summed + column.summed, plain + column.plain
        return places

    @cached_property
    def by_name(self) -> Mapping[str, ColumnBins]:
        """The columns by their names."""
        return {column.name: column for column in self.columns}

    def column(self, name: str) -> ColumnBins:
        """The bins of one column.

        Raises:
            SchemaError: the binning has no such column.
        """
        try:
            return self.by_name[name]
        except KeyError:
            available = ", ".join(self.by_name)
            raise SchemaError(
                f"no column {name!r} in binning {self.id} (available: {available})"
            ) from None

    def to_json(self) -> str:
        """Canonical JSON: equal binnings give equal text."""
        columns = [_to_dict(column) for column in self.columns]
        tree = {"format": FORMAT, "columns": columns}
        return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Binning":
        """Read what `to_json` wrote.

        Raises:
            SchemaError: the text is not a binning, or has another format.
        """
        try:
            tree = json.loads(text)
            if tree["format"] != FORMAT:
                raise SchemaError(
                    f"binning is of format {tree['format']!r}, this driftline reads {FORMAT}: "
                    "use the version that wrote it, or register the model again"
                )
            binning = cls(tuple(_from_dict(column) for column in tree["columns"]))
            if len(binning.by_name) < len(binning.columns):
                raise ValueError("two columns have the same name")
            return binning
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise SchemaError(f"can't read the binning {text[:60]!r}: {error}") from error


def _to_dict(column: ColumnBins) -> dict[str, Any]:
    fields = dict(column.__dict__)
    if fields.get("hashed") == 1:  # omitted as in older formats, to keep the id
        del fields["hashed"]
    return {"kind": column.kind, **fields}


_KINDS: dict[str, Callable[..., ColumnBins]] = {
    bins.kind: bins for bins in (NumericBins, LogBins, CategoryBins, BoolBins)
}


def _from_dict(tree: dict[str, Any]) -> ColumnBins:
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in tree.items() if k != "kind"}
    bins = _KINDS[tree["kind"]](**fields)
    if not _is_valid(bins):
        raise ValueError(f"column {str(bins.name)[:60]!r} has invalid bins")
    return bins


def _is_valid(column: ColumnBins) -> bool:
    """Whether bins from a file, perhaps a foreign one, fulfil the constraints of their type."""
    if not isinstance(column.name, str):
        return False
    if isinstance(column, NumericBins):
        edges, levels = column.edges, column.levels
        return (
            _are(edges, (int, float))
            and _are(levels, int)
            and len(edges) >= 2
            and len(levels) == len(edges) - 2
            and all(-math.inf < a < b < math.inf for a, b in pairwise(edges))
            and all(0 < level <= FINEST for level in levels)
        )
    if isinstance(column, CategoryBins):
        hashed = column.hashed
        return (
            _are(column.categories, str)
            and (column.pooled is None or _are(column.pooled, str))
            and isinstance(hashed, int)
            and 0 < hashed <= MAX_HASHED
            and hashed.bit_count() == 1
        )
    return True


def _are(values: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, kind) for value in values)


def _interval_labels(edges: tuple[float, ...]) -> list[str]:
    """Labels with the fewest digits, at least four, that distinguish the edges."""
    for digits in range(4, 18):
        short = [f"{edge:.{digits}g}" for edge in edges]
        if len({*short}) == len(edges):
            break
    inner = [f"[{a}, {b})" for a, b in pairwise(short)]
    return [f"< {short[0]}", *inner, f">= {short[-1]}"]


_LOG_EDGES = tuple(
    (np.arange(LogBins.first, LogBins.last + 2, dtype=np.int64) << _LOG_SHIFT)
    .view(np.float64)
    .tolist()
)
