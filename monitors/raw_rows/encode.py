"""Rows encoded as a matrix for multivariate monitors."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.monitors.raw_rows.comparable_columns import is_number, shared
from driftline.profile.binning import Floats

CATEGORIES = 20  # of a text column; its other values are one more
_LARGEST = float(np.finfo(np.float32).max)  # scikit-learn's trees use float32


@dataclass(frozen=True)
class Encoder:
    """An encoding of rows as numbers, fitted to a reference, independent of the window's values.

    Attributes:
        columns: the common columns.
        categories: of each text or bool column, the most frequent values.
        centre, width: of each numeric column, its median and interquartile range; if that is zero,
            its standard deviation, or 1.
    """

    columns: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    centre: dict[str, float]
    width: dict[str, float]

    @classmethod
    def of(cls, current: pa.Table, reference: pa.Table) -> "Encoder":
        """Fit to the columns of the reference that are in the window too."""
        columns = shared(current, reference)
        numbers = [name for name in columns if is_number(reference[name].type)]
        scales = {name: _scale(reference[name]) for name in numbers}
        return cls(
            tuple(columns),
            {name: _most_frequent(reference[name]) for name in columns if name not in numbers},
            {name: centre for name, (centre, _) in scales.items()},
            {name: width for name, (_, width) in scales.items()},
        )

    def codes(self, table: pa.Table) -> Floats:
        """float64[n, columns] for trees: numbers unchanged, NaN where missing, texts by rank."""
        parts = [
            _floats(table[name]) if name in self.centre else _ranks(table[name], categories)
            for name in self.columns
            for categories in [self.categories.get(name, ())]
        ]
        return np.stack(parts, axis=1) if parts else np.zeros((len(table), 0))

    def features(self, table: pa.Table) -> Floats:
        """float64[n, d] for linear methods, in the reference's units.

        A number becomes its distance from the median, clipped to 10 widths, 0 where missing, and an
        indicator of missing; a text becomes an indicator for each of its most frequent values.
        """
        parts = []
        for name in self.columns:
            if name in self.centre:
                values = (_floats(table[name]) - self.centre[name]) / self.width[name]
                missing = np.isnan(values)
                parts += [np.clip(np.where(missing, 0.0, values), -10, 10), missing * 1.0]
            else:
                ranks = _ranks(table[name], self.categories[name])
                parts += [(ranks == i) * 1.0 for i in range(len(self.categories[name]))]
        return np.stack(parts, axis=1) if parts else np.zeros((len(table), 0))


def _floats(column: pa.ChunkedArray) -> Floats:
    values = column.cast(pa.float64(), safe=False).to_numpy()
    return np.clip(np.where(np.isfinite(values), values, np.nan), -_LARGEST, _LARGEST)


def _scale(column: pa.ChunkedArray) -> tuple[float, float]:
    values = _floats(column)
    low, middle, high = np.nanpercentile(values, [25, 50, 75])
    return float(middle), float(high - low) or float(np.nanstd(values)) or 1.0


def _most_frequent(column: pa.ChunkedArray) -> tuple[str, ...]:
    counted = pc.value_counts(column.drop_null().cast(pa.string()).combine_chunks())
    pairs = zip(
        counted.field("counts").to_pylist(), counted.field("values").to_pylist(), strict=True
    )
    return tuple(value for _, value in sorted((-n, value) for n, value in pairs)[:CATEGORIES])


def _ranks(column: pa.ChunkedArray, categories: tuple[str, ...]) -> Floats:
    """The index of each text in `categories`; after them other texts, then missing ones."""
    texts = column.cast(pa.string())
    index = pc.index_in(texts, pa.array(categories, pa.string()))
    ranks: Floats = index.fill_null(len(categories)).to_numpy().astype(np.float64)
    ranks[texts.is_null().to_numpy()] = len(categories) + 1
    return ranks
