"""The cell of each value of a column: the inner loop of the product.

A numeric value's step (see `scale`) selects a row of a table with the number of edges certainly
below it; the few edges inside that row are then compared one by one. The result equals that of a
binary search, ten times faster.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import SchemaError
from driftline.profile import text_hash
from driftline.profile.binning import (
    Binning,
    BoolBins,
    CategoryBins,
    Cells,
    ColumnBins,
    Floats,
    Ints,
    LogBins,
    NumericBins,
)
from driftline.profile.scale import BITS, Scale

_TABLE_BITS = 14
_COMPARISONS = 4  # with more edges in one table row, a binary search is faster


class Coded(NamedTuple):
    """The cells of n values.

    Attributes:
        cells: int64[n], positions in the binning.
        steps: int64[n], the fixed-point values; None for columns without sums.
    """

    cells: Ints
    steps: Ints | None


Coder = Callable[[pa.Array], Coded]


def coders(binning: Binning) -> dict[str, Coder]:
    """The function that finds the cells of values, by column."""
    return {bins.name: _coder(bins, binning.cells[bins.name]) for bins in binning.columns}


def _coder(bins: ColumnBins, place: Cells) -> Coder:
    match bins:
        case NumericBins():
            return _numeric(bins, place)
        case LogBins():
            return _log(bins, place)
        case CategoryBins():
            return _category(bins, place)
        case BoolBins():
            return _bool(bins, place)


def _floats(name: str, column: pa.Array) -> tuple[Floats, Ints | None]:
    """Finite values; and if any was not, 0 (missing), 1 (invalid) or -1 (finite) for each."""
    if not _is_number(column.type):
        raise SchemaError(
            f"column {name!r} is {column.type}, but its binning has numbers: "
            "register a model version with the new type"
        )
    values = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    finite = np.isfinite(values)
    if finite.all():
        return values, None
    flaw = np.where(finite, -1, 1)
    if column.null_count:
        flaw[column.is_null().to_numpy(zero_copy_only=False)] = 0
    return np.where(finite, values, 0.0), flaw


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind))


def _numeric(bins: NumericBins, place: Cells) -> Coder:
    scale, find = Scale.of(bins), _search(bins)
    first, flawed = place.summed.start, place.plain.start

    def code(column: pa.Array) -> Coded:
        values, flaw = _floats(bins.name, column)
        steps = scale.steps(values)
        cells = find(values, steps)
        cells += first
        if flaw is not None:
            cells = np.where(flaw < 0, cells, flawed + flaw)
            steps[flaw >= 0] = 0
        return Coded(cells, steps)

    return code


def _search(bins: NumericBins) -> Callable[[Floats, Ints], Ints]:
    """The number of edges at or below each value: 0 is below the range, bins + 1 above it."""
    edges = np.array(bins.edges)
    table_rows = Scale.of(bins).steps(edges) >> BITS - _TABLE_BITS
    edges_in_row = np.bincount(table_rows, minlength=2**_TABLE_BITS)
    comparisons = int(edges_in_row.max())
    if comparisons > _COMPARISONS:
        return lambda values, _: np.searchsorted(edges, values, side="right")
    below = np.cumsum(edges_in_row) - edges_in_row
    fenced = np.append(edges, np.inf)

    def look_up(values: Floats, steps: Ints) -> Ints:
        counts = below.take(steps >> BITS - _TABLE_BITS)
        for _ in range(comparisons):
            counts += values >= fenced.take(counts)
        return counts

    return look_up


def _log(bins: LogBins, place: Cells) -> Coder:
    first, flawed = place.plain.start, place.plain.start + bins.bins + 2
    low, high = bins.edges[0], bins.edges[-1]
    offset = bins.first - 1 - first  # the cell below the range comes first

    def code(column: pa.Array) -> Coded:
        values, flaw = _floats(bins.name, column)
        inside = np.clip(values, np.nextafter(low, -np.inf), high)
        cells = (inside.view(np.int64) >> bins.shift) - offset
        if flaw is not None:
            cells = np.where(flaw < 0, cells, flawed + flaw)
        return Coded(cells, None)

    return code


def _category(bins: CategoryBins, place: Cells) -> Coder:
    first, n_categories = place.plain.start, len(bins.categories)
    other, missing = first + n_categories, place.plain.stop - 1
    pooled = bins.pooled or ()
    indexed = pa.array([*bins.categories, *pooled], type=pa.string())
    cells_of = np.full(len(indexed) + 1, other, dtype=np.int64)
    cells_of[:n_categories] = np.arange(first, other)
    single = bins.hashed == 1 and bins.pooled is None
    cells_of[-1] = other if single else first + bins.by_hash.start  # index -1: not found

    def code(column: pa.Array) -> Coded:
        coded = pa.types.is_dictionary(column.type)
        texts = _text(bins.name, column.dictionary if coded else column)
        index = pc.index_in(texts, indexed)
        cells = cells_of.take(pc.fill_null(index, -1).to_numpy(zero_copy_only=False), mode="wrap")
        if bins.hashed > 1 and index.null_count:
            unknown = pc.and_(index.is_null(), texts.is_valid())
            is_unknown = unknown.to_numpy(zero_copy_only=False)
            cells[is_unknown] += text_hash.buckets(texts.filter(unknown), bins.hashed)
        if coded:
            cells = cells.take(pc.fill_null(column.indices, 0).to_numpy(zero_copy_only=False))
        if column.null_count:
            cells[column.is_null().to_numpy(zero_copy_only=False)] = missing
        return Coded(cells, None)

    return code


def _text(name: str, column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_string(kind):
        return column
    if pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return column.cast(pa.string())
    raise SchemaError(
        f"column {name!r} is {kind}, but its binning has text: "
        "register a model version with the new type"
    )


def _bool(bins: BoolBins, place: Cells) -> Coder:
    first = place.plain.start

    def code(column: pa.Array) -> Coded:
        if not (pa.types.is_boolean(column.type) or pa.types.is_null(column.type)):
            raise SchemaError(
                f"column {bins.name!r} is {column.type}, but its binning has bools: "
                "register a model version with the new type"
            )
        cells = pc.fill_null(column.cast(pa.int8()), 2).to_numpy(zero_copy_only=False)
        return Coded(cells.astype(np.int64) + first, None)

    return code
