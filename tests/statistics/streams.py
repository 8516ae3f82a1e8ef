"""Streams whose truth is known: independent pairs of a reference and the windows after it.

Counts are drawn, not rows: the cells of n independent rows are multinomial, so that a window of a
million rows costs what one of fifty does. An effect moves all rows of a window together.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special

from driftline.profile.binning import Binning, CategoryBins, ColumnBins, Floats, Ints, NumericBins
from driftline.profile.build import build_column
from driftline.profile.profile import Profile
from driftline.profile.scale import Scale, floors
from monitors.calibration.reference import Blocks, Reference
from monitors.verdict import Window

DAY = 86_400
START = 20_000 * DAY  # a day in 2024
_POPULATION = 200_000


@dataclass(frozen=True)
class Column:
    """How a column is made.

    Attributes:
        kind: normal, lognormal, discrete, or category:N.
        missing: share of rows without a value.
    """

    kind: str
    missing: float = 0.0


@dataclass(frozen=True)
class Change:
    """What is different after the reference: of all rows, or of a share.

    Attributes:
        shift: in standard deviations of a row, before the column's own transformation.
        spread: factor of the standard deviation.
        missing: share of rows without a value instead of the column's.
        category: added to the share of one category, taken from the others in proportion.
        which: that category.
    """

    shift: float = 0.0
    spread: float = 1.0
    missing: float | None = None
    category: float = 0.0
    which: int = 0


@dataclass(frozen=True)
class Stream:
    """A reference of some windows, and the windows that follow it."""

    reference: Reference
    windows: list[tuple[Window, Profile]]


def effects(n: int, tau: float, rho: float, weekly: float, rng: np.random.Generator) -> Floats:
    """n daily effects in standard deviations of a row: AR(1) of size tau, and a weekly rhythm."""
    noise = rng.standard_normal(n) * np.sqrt(1 - rho**2)
    path = np.empty(n)
    path[0] = rng.standard_normal()
    for day in range(1, n):
        path[day] = rho * path[day - 1] + noise[day]
    effect: Floats = tau * path + weekly * np.sin(2 * np.pi * np.arange(n) / 7)
    return effect


def stream(
    columns: dict[str, Column],
    rows: int,
    past: Floats,
    future: Floats,
    rng: np.random.Generator,
    *,
    seconds: int = DAY,
    change: Change | None = None,
) -> Stream:
    """Draw a reference and what comes after it.

    Args:
        rows: of each window.
        past, future: the effect of each window of the reference, and of each that is judged.
        change: what is different in the future.
    """
    binning = Binning(tuple(_bins(name, column.kind) for name, column in columns.items()))
    known = [draw(binning, columns, rows, effect, rng) for effect in past]
    later = [draw(binning, columns, rows, effect, rng, change=change) for effect in future]
    starts = START + seconds * np.arange(len(known) + len(later))
    blocks = Blocks(
        seconds,
        starts[: len(known)],
        np.stack([profile.counts for profile in known]),
        np.stack([profile.sums for profile in known]),
    )
    total = Profile(binning, blocks.counts.sum(axis=0), blocks.sums.sum(axis=0))
    ends = [datetime.fromtimestamp(int(s), UTC) + timedelta(seconds=seconds) for s in starts]
    windows = [Window(seconds, end) for end in ends[len(known) :]]
    return Stream(Reference(binning, total, blocks), list(zip(windows, later, strict=True)))


def draw(
    binning: Binning,
    columns: dict[str, Column],
    rows: int,
    effect: float,
    rng: np.random.Generator,
    *,
    change: Change | None = None,
) -> Profile:
    """The profile of one window."""
    profile, change = Profile.of(binning), change or Change()
    for bins in binning.columns:
        column, place = columns[bins.name], binning.cells[bins.name]
        share = column.missing if change.missing is None else change.missing
        missing = int(rng.binomial(rows, share))
        shares = _shares(bins.name, column.kind, effect, change)
        counts = rng.multinomial(rows - missing, shares)
        if isinstance(bins, NumericBins):
            profile.counts[place.summed] = counts
            profile.counts[place.plain] = [missing, 0]
            profile.sums[place.summed] = counts * _steps(bins.name, column.kind)
        else:
            profile.counts[place.plain] = [*counts, missing]
    return profile


_TRANSFORMED = {
    "normal": lambda latent: 10 + 3 * latent,
    "lognormal": lambda latent: np.exp(1.3 * latent),
    "discrete": lambda latent: np.clip(np.round(3 + 1.5 * latent), 0, 8),
}


@cache
def _population(kind: str) -> tuple[Floats, npt.NDArray[np.generic]]:
    """Latent numbers, ascending, and the values made of them."""
    latent = special.ndtri((np.arange(_POPULATION) + 0.5) / _POPULATION)
    return latent, _TRANSFORMED[kind](latent)


@cache
def _bins(name: str, kind: str) -> ColumnBins:
    if kind.startswith("category"):
        return CategoryBins(name, tuple(f"c{i}" for i in range(_categories(kind))))
    return replace(_numbers(kind), name=name)


@cache
def _numbers(kind: str) -> ColumnBins:
    return build_column("", pa.chunked_array([pa.array(_population(kind)[1])]))


def _categories(kind: str) -> int:
    return int(kind.partition(":")[2])


@cache
def _cells(name: str, kind: str) -> tuple[Ints, Floats]:
    """Where in the sorted population each cell begins, and each cell's mean."""
    bins, (_, values) = _bins(name, kind), _population(kind)
    assert isinstance(bins, NumericBins)
    starts = np.searchsorted(values, bins.edges)
    ends = np.concatenate(([0], starts, [len(values)]))
    inside = np.clip(values.astype(np.float64), bins.edges[0], bins.top)
    cumulated = np.concatenate(([0.0], np.cumsum(inside)))
    n = np.diff(ends)
    edge = np.concatenate(([bins.edges[0]], bins.edges[:-1], [bins.top]))
    means = np.where(n > 0, np.diff(cumulated[ends]) / np.maximum(n, 1), edge)
    return starts, means


@cache
def _steps(name: str, kind: str) -> Ints:
    """The steps of a value at each cell's mean, above the cell's lower edge."""
    bins = _bins(name, kind)
    assert isinstance(bins, NumericBins)
    steps = Scale.of(bins).steps(_cells(name, kind)[1]) - floors(Binning((bins,)))
    return np.maximum(steps, 0)


@lru_cache(maxsize=1_000)
def _shares(name: str, kind: str, effect: float, change: Change) -> Floats:
    """The chance of each cell that holds a value."""
    if not kind.startswith("category"):
        starts, _ = _cells(name, kind)
        latent = _population(kind)[0]
        middle = (
            latent[np.maximum(starts - 1, 0)] + latent[np.minimum(starts, len(latent) - 1)]
        ) / 2
        cuts = np.where(starts <= 0, -np.inf, np.where(starts >= len(latent), np.inf, middle))
        below = special.ndtr((cuts - effect - change.shift) / change.spread)
        shares = np.diff(np.concatenate(([0.0], below, [1.0])))
        normed: Floats = shares / shares.sum()
        return normed
    k = _categories(kind)
    shares = 1 / np.arange(1, k + 1) ** 0.8
    shares = shares * np.exp(np.where(np.arange(k) % 2, 0.5, -0.5) * effect)
    shares /= shares.sum()
    if change.category:
        base = shares[change.which]
        shares = shares * (1 - base - change.category) / (1 - base)
        shares[change.which] = base + change.category
    return np.concatenate((shares, [0.0, 0.0]))
