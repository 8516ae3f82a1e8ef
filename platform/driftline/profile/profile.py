"""The input of monitors: how often each cell of each column occurred in a window."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from driftline import names
from driftline.errors import SchemaError
from driftline.profile import pack, scale
from driftline.profile.binning import (
    Binning,
    BoolBins,
    CategoryBins,
    ColumnBins,
    Floats,
    Ints,
    LogBins,
    NumericBins,
)


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """The cells of one column.

    Attributes:
        bins: the meaning and order of the cells.
        counts: int64[cells]; hashed cells of text are joined.
        sums: float64[bins + 2] for numeric columns, of below, the bins and above, in the column's
            own unit, values outside clipped to the limits; empty for the other kinds.
    """

    bins: ColumnBins
    counts: Ints
    sums: Floats

    @property
    def rows(self) -> int:
        """The number of rows, with any value."""
        return int(self.counts.sum())

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return int(self.counts[-2 if isinstance(self.bins, NumericBins | LogBins) else -1])

    @property
    def invalid(self) -> int:
        """Rows with NaN or an infinity; 0 for text and bools."""
        return int(self.counts[-1]) if isinstance(self.bins, NumericBins | LogBins) else 0

    @property
    def values(self) -> Ints:
        """The counts of the cells that hold a value: not missing, not invalid."""
        return self.counts[: -2 if isinstance(self.bins, NumericBins | LogBins) else -1]

    @property
    def below(self) -> int:
        """Numbers below the range."""
        self._require_numbers()
        return int(self.counts[0])

    @property
    def above(self) -> int:
        """Numbers above the range."""
        self._require_numbers()
        return int(self.counts[-3])

    @property
    def other(self) -> int:
        """Texts that the reference has, but too rarely for a cell of their own."""
        self._require_text()
        return int(self.counts[-3])

    @property
    def unseen(self) -> int:
        """Texts that the reference does not have."""
        self._require_text()
        return int(self.counts[-2])

    @cached_property
    def centres(self) -> Floats:
        """The mean value of each of the `values` cells; the limit for a cell outside of it."""
        bins = self._require_numbers()
        edges = np.array(bins.edges)
        edges[-1] = np.nextafter(edges[-1], -np.inf)
        inner = edges[:-1] / 2 + edges[1:] / 2
        middle: Floats = np.concatenate((edges[:1], inner, edges[-1:]))
        if len(self.sums):
            np.divide(self.sums, self.values, out=middle, where=self.values > 0)
        return middle

    def mean(self) -> float:
        """The mean, values outside clipped to the limits; NaN without values.

        Raises:
            SchemaError: not a column of numbers.
        """
        centres, n = self.centres, int(self.values.sum())
        return float(centres @ self.values) / n if n else float("nan")

    def quantile(self, q: float) -> float:
        """The mean of the cell that holds the quantile; NaN without values.

        Parameters:
            q: from 0 to 1.

        Raises:
            SchemaError: not a column of numbers.
        """
        centres, ends = self.centres, np.cumsum(self.values)
        if ends[-1] == 0:
            return float("nan")
        return float(centres[np.searchsorted(ends, max(q * ends[-1], 1))])

    def coarse(self, level: int) -> "ColumnProfile":
        """Merge neighbouring bins, see `NumericBins.coarse`; other kinds are unchanged."""
        if not isinstance(self.bins, NumericBins):
            return self
        starts = np.concatenate(([0], self.bins.starts(level) + 1, [self.bins.bins + 1]))
        counts = np.add.reduceat(self.values, starts)
        merged = np.concatenate((counts, self.counts[-2:]))
        return ColumnProfile(self.bins.coarse(level), merged, np.add.reduceat(self.sums, starts))

    def _require_numbers(self) -> NumericBins | LogBins:
        if isinstance(self.bins, CategoryBins | BoolBins):
            raise SchemaError(f"column {self.bins.name!r} is {self.bins.kind}: it has no numbers")
        return self.bins

    def _require_text(self) -> None:
        if not isinstance(self.bins, CategoryBins):
            raise SchemaError(f"column {self.bins.name!r} is {self.bins.kind}: it has no text")


@dataclass(frozen=True, eq=False)
class Profile:
    """The counts of all columns over some rows; profiles of the same binning add up.

    Attributes:
        binning: defines the cells.
        counts: int64[binning.size].
        sums: int64[binning.summed], in fixed-point steps above each cell's lower edge.
    """

    binning: Binning
    counts: Ints
    sums: Ints

    @classmethod
    def of(cls, binning: Binning, *packed: bytes) -> "Profile":
        """The sum of packed profiles; without any, the profile of no rows.

        Raises:
            SchemaError: one cannot be read, or has cells that are not in the binning.
        """
        counts = np.zeros(binning.size, dtype=np.int64)
        sums = np.zeros(binning.summed, dtype=np.int64)
        for cells, some_counts, some_sums in map(pack.unpack, packed):
            summed = cells[: len(some_sums)]
            if cells.max(initial=0) >= binning.size or summed.max(initial=0) >= binning.summed:
                raise SchemaError(
                    f"a packed profile has cells that are not in binning {binning.id}: "
                    "read it with the binning of its row"
                )
            counts[cells] += some_counts
            sums[summed] += some_sums
        return cls(binning, counts, sums)

    @property
    def rows(self) -> int:
        """The number of counted rows; every row has a score cell."""
        return self.column(names.SCORE).rows

    def __add__(self, other: "Profile") -> "Profile":
        if self.binning != other.binning:
            raise SchemaError(
                f"can't add profiles of binnings {self.binning.id} and {other.binning.id}: "
                "count the rows again with one of them"
            )
        return Profile(self.binning, self.counts + other.counts, self.sums + other.sums)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Profile)
            and self.binning == other.binning
            and np.array_equal(self.counts, other.counts)
            and np.array_equal(self.sums, other.sums)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def pack(self) -> bytes:
        """The bytes that `of` reads."""
        cells = np.flatnonzero(self.counts)
        summed = cells[cells < self.binning.summed]
        return pack.pack(cells, self.counts[cells], self.sums[summed])

    def column(self, name: str) -> ColumnProfile:
        """The cells of one column.

        Raises:
            SchemaError: the binning has no such column.
        """
        bins, place = self.binning.column(name), self.binning.cells[name]
        counts = np.concatenate((self.counts[place.summed], self.counts[place.plain]))
        if isinstance(bins, CategoryBins):
            counts = bins.joined(counts)
        if not isinstance(bins, NumericBins):
            return ColumnProfile(bins, counts, np.zeros(0))
        unit = scale.Scale.of(bins)
        floors = self._floors[place.summed]
        inside = self.counts[place.summed]
        sums = inside * unit.low + unit.values(self.sums[place.summed] + inside * floors)
        return ColumnProfile(bins, counts, sums)

    @cached_property
    def _floors(self) -> Ints:
        return scale.floors(self.binning)
