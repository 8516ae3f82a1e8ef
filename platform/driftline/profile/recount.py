"""Straightforward counting of profiles: for references, and to verify the fast path."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from driftline import names
from driftline.profile import scale, text_hash
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
from driftline.profile.count import MAX_SEGMENTS, OTHER, escaped
from driftline.profile.profile import Profile

_UNKNOWN = "\0"  # a suffix that practically no text has


def recount(rows: pa.Table | pa.RecordBatch, binning: Binning) -> Profile:
    """Count every row individually.

    Parameters:
        rows: n rows; missing columns of the binning remain zero (a reference has no
            latencies).
        binning: defines the cells.

    Returns:
        The sum of `increments` of the same rows.
    """
    profile = Profile.of(binning)
    for bins in binning.columns:
        if bins.name not in rows.schema.names:
            continue
        column, place = rows.column(bins.name), binning.cells[bins.name]
        match bins:
            case NumericBins() | LogBins():
                _count_numbers(profile, bins, place, column)
            case CategoryBins():
                profile.counts[place.plain] = _texts(bins, column)
            case BoolBins():
                profile.counts[place.plain] = _bools(column)
    return profile


def labels(column: pa.ChunkedArray, bins: ColumnBins) -> pa.ChunkedArray:
    """The segment of each of n rows: a common value of the splitting column, or all others."""
    text = column.cast(pa.string())
    if isinstance(bins, CategoryBins):
        common = list(bins.categories[:MAX_SEGMENTS])
        shown = pa.array(map(escaped, common), pa.string())
        text = pc.take(shown, pc.index_in(text, value_set=pa.array(common, pa.string())))
    return pc.fill_null(text, OTHER)


def reference(features: pa.Table, score: npt.ArrayLike, binning: Binning) -> Profile:
    """The profile of the data that a model version was trained or judged on."""
    rows = leave_one_out(features, binning)
    return recount(rows.append_column(names.SCORE, pa.array(score, type=pa.float64())), binning)


def leave_one_out(rows: pa.Table, binning: Binning) -> pa.Table:
    """The rows that a binning was built from, each seen by the other rows.

    A text that occurs once is known from that row alone: to all others it is unseen. The share of
    such rows estimates the chance that a new row has an unseen text (Good 1953), so these texts get
    a suffix that makes them unknown. Rows that the binning was not built from, which have other
    texts or not all of its texts, are returned unchanged.

    Parameters:
        rows: n rows.
        binning: defines the cells.

    >>> from driftline.profile.build import build
    >>> rows = pa.table({"c": ["a", "a", "b"]})
    >>> leave_one_out(rows, build(rows, [0.0, 0.0, 0.0]))["c"].to_pylist()
    ['a', 'a', 'b\\x00']
    """
    for bins in binning.columns:
        if isinstance(bins, CategoryBins) and bins.name in rows.column_names:
            place = rows.column_names.index(bins.name)
            rows = rows.set_column(place, bins.name, _mark_singletons(rows.column(place), bins))
    return rows


def _mark_singletons(column: pa.ChunkedArray, bins: CategoryBins) -> pa.ChunkedArray:
    texts = column.cast(pa.string())
    table = pc.value_counts(texts.drop_null().combine_chunks())
    values, counts = table.field("values"), table.field("counts")
    if bins.pooled is None or {*values.to_pylist()} != {*bins.categories, *bins.pooled}:
        return column
    once = pc.is_in(texts, value_set=values.filter(pc.equal(counts, 1)))
    return pc.if_else(once, pc.binary_join_element_wise(texts, _UNKNOWN, ""), texts)


def _count_numbers(
    profile: Profile, bins: NumericBins | LogBins, place: Cells, column: pa.ChunkedArray
) -> None:
    present = column.drop_null().cast(pa.float64(), safe=False).to_numpy()
    values = present[np.isfinite(present)]
    indices = np.searchsorted(np.array(bins.edges), values, side="right")
    counts = np.bincount(indices, minlength=bins.bins + 2)
    flaws = [column.null_count, len(present) - len(values)]
    if isinstance(bins, LogBins):
        profile.counts[place.plain] = [*counts, *flaws]
        return
    profile.counts[place.summed] = counts
    profile.counts[place.plain] = flaws
    profile.sums[place.summed] = _sums(bins, values, indices)


def _sums(bins: NumericBins, values: Floats, indices: Ints) -> Ints:
    """For each cell the sum of its values' steps, counted from the cell's lower edge."""
    unit = scale.Scale.of(bins)
    floors = unit.steps(np.array([bins.edges[0], *bins.edges[:-1], bins.top]))
    sums = np.zeros(bins.bins + 2, dtype=np.int64)
    np.add.at(sums, indices, unit.steps(values) - floors[indices])
    return sums


def _texts(bins: CategoryBins, column: pa.ChunkedArray) -> list[int]:
    counts = Counter(column.cast(pa.string()).to_pylist())
    missing = counts.pop(None, 0)
    categories = [counts.pop(category, 0) for category in bins.categories]
    if bins.pooled is None and bins.hashed == 1:
        return [*categories, counts.total(), 0, missing]
    other = sum(counts.pop(value, 0) for value in bins.pooled or ())
    hashed = [0] * bins.hashed
    buckets = text_hash.buckets(pa.array(counts, pa.string()), bins.hashed)
    for n, bucket in zip(counts.values(), buckets.tolist(), strict=True):
        hashed[bucket] += n
    return [*categories, other, *hashed, missing]


def _bools(column: pa.ChunkedArray) -> list[int]:
    true = pc.sum(column.cast(pa.int64())).as_py() or 0
    missing = column.null_count
    return [len(column) - true - missing, true, missing]
