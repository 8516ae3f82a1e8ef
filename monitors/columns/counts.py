"""The counts of one column in many windows, which column monitors compare."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from driftline.profile import scale
from driftline.profile.binning import (
    FINEST,
    Binning,
    CategoryBins,
    ColumnBins,
    Floats,
    Ints,
    LogBins,
    NumericBins,
)
from driftline.profile.profile import Profile


@dataclass(frozen=True, eq=False)
class Counts:
    """The number of rows in each cell of a column, in m windows.

    Attributes:
        bins: the meaning of the cells, in the order of `driftline.profile.binning`.
        cells: float64[m, cells]; fractions occur where a window is scaled down.
        sums: float64[m, bins + 2], of values below, in the bins and above, in the column's unit,
            values outside clipped to the limits; float64[m, 0] for the other kinds.
        hashed: float64[m, h], text values that share cells by their hash, whose total is one of
            `cells`; None where there are none.
    """

    bins: ColumnBins
    cells: Floats
    sums: Floats
    hashed: Floats | None = None

    @classmethod
    def of(cls, profile: Profile, column: str) -> "Counts":
        """The column of one profile, m = 1."""
        if isinstance(profile.binning.column(column), CategoryBins):
            arrays = profile.counts[None, :], profile.sums[None, :]
            return cls.of_many(profile.binning, *arrays, column)
        part = profile.column(column)
        return cls(part.bins, part.counts[None, :].astype(np.float64), part.sums[None, :])

    @classmethod
    def of_many(cls, binning: Binning, counts: Ints, sums: Ints, column: str) -> "Counts":
        """The column of m profiles.

        Parameters:
            counts: int64[m, binning.size].
            sums: int64[m, binning.summed], steps above each cell's lower edge.
        """
        bins, place = binning.column(column), binning.cells[column]
        cells = np.concatenate((counts[:, place.summed], counts[:, place.plain]), axis=1)
        if not isinstance(bins, NumericBins):
            values, no_sums = cells.astype(np.float64), np.zeros((len(counts), 0))
            if not isinstance(bins, CategoryBins):
                return cls(bins, values, no_sums)
            hashed = values[:, bins.by_hash] if bins.hashed > 1 else None
            return cls(bins, bins.joined(values), no_sums, hashed)
        unit = scale.Scale.of(bins)
        inside = counts[:, place.summed]
        floors = scale.floors(Binning((bins,)))
        steps = sums[:, place.summed] + inside * floors
        return cls(bins, cells.astype(np.float64), inside * unit.low + unit.values(steps))

    def __len__(self) -> int:
        return len(self.cells)

    @cached_property
    def rows(self) -> Floats:
        """float64[m], all rows, with or without a value."""
        rows: Floats = self.cells.sum(axis=1)
        return rows

    @cached_property
    def values(self) -> Floats:
        """float64[m, v], the cells that hold a value: not missing, not invalid."""
        return self.cells[:, : -2 if self._numeric else -1]

    @cached_property
    def present(self) -> Floats:
        """float64[m], rows with a value."""
        present: Floats = self.values.sum(axis=1)
        return present

    @property
    def missing(self) -> Floats:
        """float64[m], rows without a value."""
        return self.cells[:, -2 if self._numeric else -1]

    @property
    def unexpected(self) -> Floats:
        """float64[m], values that are not, or hardly, in the reference: outside its limits, NaN,
        infinite or unseen."""
        if self._numeric:
            outside: Floats = self.cells[:, 0] + self.cells[:, -3] + self.cells[:, -1]
            return outside
        if isinstance(self.bins, CategoryBins):
            return self.cells[:, -2]
        return np.zeros(len(self))

    @cached_property
    def centres(self) -> Floats:
        """float64[v], the mean value of each cell over all windows; its midpoint where empty.

        Only for numeric columns.
        """
        assert isinstance(self.bins, NumericBins | LogBins)
        edges = np.array(self.bins.edges)
        edges[-1] = np.nextafter(edges[-1], -np.inf)
        inner = edges[:-1] / 2 + edges[1:] / 2
        middle: Floats = np.concatenate((edges[:1], inner, edges[-1:]))
        if self.sums.shape[1]:
            total, sums = self.values.sum(axis=0), self.sums.sum(axis=0)
            np.divide(sums, total, out=middle, where=total > 0)
        return middle

    @cached_property
    def means(self) -> Floats:
        """float64[m], values outside the limits clipped to them; NaN without values."""
        total = self.sums.sum(axis=1) if self.sums.shape[1] else self.values @ self.centres
        return np.divide(
            total, self.present, out=np.full(len(self), np.nan), where=self.present > 0
        )

    def take(self, index: Ints) -> "Counts":
        """The windows at these indices."""
        return self.each(lambda part: part[index])

    def total(self) -> "Counts":
        """All windows merged into one."""
        return self.each(lambda part: part.sum(axis=0, keepdims=True))

    def each(self, function: Callable[[Floats], Floats]) -> "Counts":
        """A function applied to cells, sums and hashed cells, float64[m, ...] each."""
        hashed = None if self.hashed is None else function(self.hashed)
        return Counts(self.bins, function(self.cells), function(self.sums), hashed)

    def scaled(self, factor: Floats) -> "Counts":
        """Each window scaled to a multiple of its rows.

        Parameters:
            factor: float64[m], each at most 1.
        """
        return self.each(lambda part: part * factor[:, None])

    def thinned(self, factor: Floats, rng: np.random.Generator) -> "Counts":
        """A random subset of the rows of each window; the mean of each cell is kept.

        Parameters:
            factor: float64[m], the probability of keeping a row, from 0 to 1.
        """
        cells = rng.binomial(self.cells.astype(np.int64), factor[:, None]).astype(np.float64)
        width = self.sums.shape[1]
        if self.hashed is not None:
            hashed = rng.binomial(self.hashed.astype(np.int64), factor[:, None]).astype(np.float64)
            assert isinstance(self.bins, CategoryBins)
            cells[:, self.bins.hashed_in] = hashed.sum(axis=1)
            return Counts(self.bins, cells, self.sums, hashed)
        if not width:
            return Counts(self.bins, cells, self.sums)
        shares = np.divide(
            cells[:, :width],
            self.cells[:, :width],
            out=np.zeros_like(self.sums),
            where=self.cells[:, :width] > 0,
        )
        return Counts(self.bins, cells, self.sums * shares)

    def coarse(self, level: int) -> Floats:
        """float64[m, bins + 2], the value cells with adjacent bins merged.

        Parameters:
            level: 0 to 8, about 2**level bins of equal mass; see `NumericBins.coarse`.
        """
        if not isinstance(self.bins, NumericBins) or level >= FINEST:
            return self.values
        starts = np.concatenate(([0], self.bins.starts(level) + 1, [self.bins.bins + 1]))
        merged: Floats = np.add.reduceat(self.values, starts, axis=1)
        return merged

    @property
    def _numeric(self) -> bool:
        return isinstance(self.bins, NumericBins | LogBins)
