"""Freeze a binning from a reference: the data that a model version was trained or judged on."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from driftline import names
from driftline.errors import SchemaError
from driftline.profile.binning import (
    FINEST,
    Binning,
    BoolBins,
    CategoryBins,
    ColumnBins,
    Floats,
    Ints,
    LogBins,
    NumericBins,
)

BINS = 128  # 2**7 of equal mass: merging neighbours gives 64, 32, ...
MAX_POINTS = 256  # most distinct values of a column with a bin for each
CATEGORIES = 1_000  # values of a text column that have a cell of their own
MAX_REMEMBERED = 10_000  # most stored values of a text column, with and without a cell
MANY_HASHED = 1_024  # hashed cells of a text column with many rare values ...
FEW_HASHED = 64  # ... and of one with few: values that occur once are ...
TAIL_ROWS = 1_000  # ... fewer than one in this number of rows
OUTLIER_ROWS = 200  # one in this number of rows may lie outside the limits
MAX_NUMBER = 1e300  # larger numbers are out of range, so that differences are finite


def build(features: pa.Table, score: npt.ArrayLike) -> Binning:
    """Freeze the cells of all features, the score and the two latencies.

    Parameters:
        features: n rows; numbers, text or bools; nulls, NaN and infinities are allowed. Columns
            of tensors (fixed-size lists) have no cells.
        score: n numbers.

    Raises:
        SchemaError: a column has a type without bins, or the name of one of driftline's columns.

    >>> binning = build(pa.table({"x": [1.0, 2.0, 2.0], "c": ["a", "b", "a"]}), [0.1, 0.5, 0.9])
    >>> [column.kind for column in binning.columns]
    ['numeric', 'category', 'numeric', 'log', 'log']
    """
    reserved = set(features.column_names) & {names.SCORE, names.INFERENCE_MS, names.LAG_MS}
    if reserved:
        raise SchemaError(f"feature {min(reserved)!r} is a column of driftline's own: rename it")
    columns = [
        build_column(field.name, features.column(field.name))
        for field in features.schema
        if not pa.types.is_fixed_size_list(field.type)
    ]
    return Binning(
        (
            *columns,
            numeric(names.SCORE, np.asarray(score, dtype=np.float64)),
            LogBins(names.INFERENCE_MS),
            LogBins(names.LAG_MS),
        )
    )


def build_column(name: str, column: pa.ChunkedArray) -> ColumnBins:
    """Freeze the cells of one column by its type.

    Raises:
        SchemaError: the type has no bins.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_boolean(kind):
        return BoolBins(name)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return categorical(name, column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind):
        return numeric(name, column.drop_null().cast(pa.float64(), safe=False).to_numpy())
    raise SchemaError(f"can't profile column {name!r} of type {kind}: use numbers, text or bools")


def categorical(name: str, column: pa.ChunkedArray) -> CategoryBins:
    """A cell for each of the most frequent values; others share cells, and are stored if few."""
    table = pc.value_counts(column.drop_null().cast(pa.string()).combine_chunks())
    values, counts = table.field("values").to_pylist(), table.field("counts").to_pylist()
    ranked = [value for _, value in sorted(zip((-n for n in counts), values, strict=True))]
    pooled = tuple(sorted(ranked[CATEGORIES:])) if len(ranked) <= MAX_REMEMBERED else None
    has_tail = pooled is None or counts.count(1) * TAIL_ROWS > sum(counts)
    hashed = MANY_HASHED if has_tail else FEW_HASHED
    return CategoryBins(name, tuple(ranked[:CATEGORIES]), pooled, hashed)


def numeric(name: str, values: Floats) -> NumericBins:
    """Equal-mass bins between robust limits; few distinct or heavy values get their own bins.

    An edge lies halfway between two neighbouring values of the reference.
    """
    finite = values[np.isfinite(values) & (np.abs(values) < MAX_NUMBER)]
    points, counts = np.unique(finite, return_counts=True)
    if len(points) == 0:
        points, counts = np.zeros(1), np.ones(1, dtype=np.int64)
    low, high = _limits(points, counts)
    inside = (points >= low) & (points <= high)
    points, counts = points[inside], counts[inside]
    cuts = np.arange(1, len(points)) if len(points) <= MAX_POINTS else _cuts(counts)
    inner = _between(points[cuts - 1], points[cuts])
    edges = (float(points[0]), *inner.tolist(), float(np.nextafter(points[-1], np.inf)))
    masses = np.add.reduceat(counts, np.concatenate(([0], cuts)))
    return NumericBins(name, edges, tuple(_levels(masses).tolist()))


def _between(left: Floats, right: Floats) -> Floats:
    """Halfway, but above `left` even if no number lies between."""
    middle = left / 2 + right / 2
    return np.where(middle > left, middle, right)


def _limits(points: Floats, counts: Ints) -> tuple[float, float]:
    """Limits that one row in 200 cannot move far, however absurd its value.

    A second fence excludes the most frequent value: a column that is nearly always zero would have
    no range otherwise.
    """
    without_mode = np.arange(len(points)) != counts.argmax()
    fences = [_fences(points, counts), _fences(points[without_mode], counts[without_mode])]
    existing = [fence for fence in fences if fence is not None]
    if not existing:
        return float(points[0]), float(points[-1])
    return min(low for low, _ in existing), max(high for _, high in existing)


def _fences(points: Floats, counts: Ints) -> tuple[float, float] | None:
    """Three times the distance from the median to the extreme, without the outermost rows."""
    rows = int(counts.sum())
    if rows < 5:
        return None
    ends = np.cumsum(counts)
    outliers = max(1, rows // OUTLIER_ROWS)
    ranks = [outliers + 1, (rows + 1) // 2, rows - outliers]
    low, middle, high = points[np.searchsorted(ends, ranks)]
    return float(middle - 3 * (middle - low)), float(middle + 3 * (high - middle))


def _cuts(counts: Ints) -> Ints:
    """Where to cut between points: around heavy ones, and the others into bins of equal mass."""
    heavy = np.zeros(len(counts), dtype=bool)
    while True:
        bins = max(BINS - int(heavy.sum()), 1)
        light = np.where(heavy, 0, counts)
        total = int(light.sum())
        more = light * bins > total
        if not more.any() or bins == 1:
            break
        heavy |= more
    targets = np.arange(1, bins) * total
    even = np.searchsorted(np.cumsum(light) * bins, targets) + 1
    alone = np.flatnonzero(heavy)
    cuts = np.unique(np.concatenate((even, alone, alone + 1)))
    inner: Ints = cuts[(cuts > 0) & (cuts < len(counts))]
    return inner


def _levels(masses: Ints) -> Ints:
    """For each inner edge the coarsest level that keeps it: of 2**level bins of equal mass.

    A bin that holds a whole share of a level by itself keeps both its edges there.
    """
    ends = np.cumsum(masses)
    total, inner = int(ends[-1]), len(masses) - 1
    levels = np.full(inner, FINEST, dtype=np.int64)
    for level in range(FINEST - 1, 0, -1):
        parts = 2**level
        targets = np.arange(1, parts) * total
        bins = np.searchsorted(ends * parts, targets)
        is_heavy = masses[bins] * parts >= total
        nearer_left = targets - (ends[bins] - masses[bins]) * parts < ends[bins] * parts - targets
        left, right = bins[is_heavy | nearer_left] - 1, bins[is_heavy | ~nearer_left]
        levels[left[left >= 0]] = level
        levels[right[right < inner]] = level
    return levels
