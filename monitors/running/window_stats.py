"""Summary statistics of a window's columns, few enough for a panel to draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from driftline import names
from driftline.profile.binning import (
    BoolBins,
    CategoryBins,
    ColumnBins,
    Floats,
    Ints,
    LogBins,
    NumericBins,
)
from driftline.profile.profile import ColumnProfile, Profile
from driftline.storage.monitoring.judged_windows import Stat
from driftline.storage.profiles.windows import Part

BINS = 32  # of a histogram, at most
_OCTAVE = 128  # bins of a LogBins
_SHADOW_COLUMNS = (names.SCORE, names.INFERENCE_MS)


@dataclass(frozen=True)
class _View:
    """How the value cells of a column are merged into few bins.

    Attributes:
        labels: of the bins.
        starts: int64[bins], the first value cell of each.
    """

    labels: Sequence[str]
    starts: Ints


def stats(part: Part, profile: Profile, reference: Profile | None) -> list[Stat]:
    """One row per column.

    Parameters:
        part: which rows the profile counts.
        reference: of the same version; columns whose bins differ are ignored.
    """
    shown = [
        bins.name
        for bins in profile.binning.columns
        if part.role == names.SERVED or bins.name in _SHADOW_COLUMNS
    ]
    return [_stat(part, profile.column(name), _same(reference, profile, name)) for name in shown]


def _same(reference: Profile | None, profile: Profile, name: str) -> ColumnProfile | None:
    if reference is None:
        return None
    bins = reference.binning.by_name.get(name)
    if bins is None or (
        bins is not profile.binning.by_name[name] and bins != profile.binning.by_name[name]
    ):
        return None
    return reference.column(name)


def _stat(part: Part, column: ColumnProfile, reference: ColumnProfile | None) -> Stat:
    view = _view(column.bins)
    mean, quantiles = _numbers(column)
    return Stat(
        version=part.version,
        role=part.role,
        segment=part.segment,
        column=column.bins.name,
        rows=column.rows,
        missing=column.missing,
        invalid=column.invalid,
        mean=mean,
        p50=quantiles[0],
        p95=quantiles[1],
        p99=quantiles[2],
        labels=view.labels,
        counts=_merged(view, column.values).tolist(),
        reference_shares=None if reference is None else _shares(view, reference.values),
    )


def _numbers(column: ColumnProfile) -> tuple[float | None, Sequence[float | None]]:
    """Mean and percentiles; for a bool, the share of true."""
    values = column.values
    total = int(values.sum())
    if total == 0 or isinstance(column.bins, CategoryBins):
        return None, (None, None, None)
    if isinstance(column.bins, BoolBins):
        return float(values[1]) / total, (None, None, None)
    centres, ends = column.centres, np.cumsum(values)
    places = np.searchsorted(ends, np.maximum(np.array([0.5, 0.95, 0.99]) * total, 1))
    return float(centres @ values) / total, centres[places].tolist()


def _merged(view: _View, values: Ints) -> Ints:
    merged: Ints = np.add.reduceat(values, view.starts)
    return merged


def _shares(view: _View, values: Ints) -> Sequence[float] | None:
    total = int(values.sum())
    if not total:
        return None
    shares: Floats = _merged(view, values) / total
    return [float(share) for share in shares]


# keyed by the column's bins: they hash by value, and there are few
@lru_cache(maxsize=16_384)
def _view(bins: ColumnBins) -> _View:
    if isinstance(bins, NumericBins):
        return _numeric(bins)
    if isinstance(bins, LogBins):
        return _log(bins)
    labels = bins.labels()[:-1]
    if len(labels) <= BINS:
        return _View(labels, np.arange(len(labels)))
    # the most frequent values, all others, and values unseen in the reference
    shown = BINS - 2
    starts = np.array([*range(shown + 1), len(labels) - 1], dtype=np.int64)
    return _View([*labels[:shown], "other", "unseen"], starts)


def _numeric(bins: NumericBins) -> _View:
    level = next(n for n in (5, 4, 3, 2, 1, 0) if bins.coarse(n).bins + 2 <= BINS or n == 0)
    starts = np.concatenate(([0], bins.starts(level) + 1, [bins.bins + 1]))
    return _View(bins.coarse(level).labels()[:-2], starts)


def _log(bins: LogBins) -> _View:
    """One bin per octave."""
    octaves = [i for i in range(1, bins.bins) if (bins.first + i) % _OCTAVE == 0]
    edges = (bins.edges[0], *(bins.edges[i] for i in octaves), bins.edges[-1])
    starts = np.array([0, 1, *(i + 1 for i in octaves), bins.bins + 1], dtype=np.int64)
    return _View(NumericBins(bins.name, edges, ()).labels()[:-2], starts)
