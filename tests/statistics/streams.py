"""Streams whose truth is known: independent pairs of a reference and the windows after it.

Counts are drawn, not rows: the cells of n independent rows are multinomial, so that a window of a
million rows costs what one of fifty does. An effect moves all rows of a window together.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special

from driftline.monitors.calibration.reference import Blocks, Reference
from driftline.monitors.windows.verdict import Window
from driftline.profile.binning import Binning, CategoryBins, ColumnBins, Floats, Ints, NumericBins
from driftline.profile.build import build_column
from driftline.profile.profile import Profile
from driftline.profile.scale import Scale, floors

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
    later: Blocks

    @property
    def windows(self) -> list[tuple[Window, Profile]]:
        """What follows, one by one."""
        binning, length = self.reference.binning, timedelta(seconds=self.later.seconds)
        return [
            (
                Window(self.later.seconds, datetime.fromtimestamp(start, UTC) + length),
                Profile(binning, counts, sums),
            )
            for start, counts, sums in zip(
                self.later.starts.tolist(), self.later.counts, self.later.sums, strict=True
            )
        ]


def effects(n: int, tau: float, rho: float, weekly: float, rng: np.random.Generator) -> Floats:
    """n daily effects in standard deviations of a row: AR(1) of size tau, and a weekly season."""
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

    Parameters:
        rows: of each window.
        past, future: the effect of each window of the reference, and of each that is judged.
        change: what is different in the future.
    """
    binning = Binning(tuple(_bins(name, column.kind) for name, column in columns.items()))
    starts = START + seconds * np.arange(len(past) + len(future))
    blocks = Blocks(seconds, starts[: len(past)], *draw(binning, columns, rows, past, rng))
    drawn = draw(binning, columns, rows, future, rng, change=change)
    total = Profile(binning, blocks.counts.sum(axis=0), blocks.sums.sum(axis=0))
    return Stream(Reference(binning, total, blocks), Blocks(seconds, starts[len(past) :], *drawn))


def draw(
    binning: Binning,
    columns: dict[str, Column],
    rows: int,
    effects: Floats,
    rng: np.random.Generator,
    *,
    change: Change | None = None,
) -> tuple[Ints, Ints]:
    """The cells of one window for each of m effects: counts, int64[m, binning.size], and sums."""
    change, m = change or Change(), len(effects)
    counts = np.zeros((m, binning.size), dtype=np.int64)
    sums = np.zeros((m, binning.summed), dtype=np.int64)
    for bins in binning.columns:
        column, place = columns[bins.name], binning.cells[bins.name]
        share = column.missing if change.missing is None else change.missing
        missing = rng.binomial(rows, share, m)
        drawn = rng.multinomial(rows - missing, _shares(column.kind, effects, change))
        if isinstance(bins, NumericBins):
            counts[:, place.summed] = drawn
            counts[:, place.plain] = np.stack((missing, np.zeros_like(missing)), axis=1)
            sums[:, place.summed] = drawn * _steps(column.kind)
        else:
            counts[:, place.plain] = np.column_stack((drawn, missing))
    return counts, sums


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
def _cells(kind: str) -> tuple[Ints, Floats]:
    """Where in the sorted population each cell begins, and each cell's mean."""
    bins, (_, values) = _numbers(kind), _population(kind)
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
def _steps(kind: str) -> Ints:
    """The steps of a value at each cell's mean, above the cell's lower edge."""
    bins = _numbers(kind)
    assert isinstance(bins, NumericBins)
    steps = Scale.of(bins).steps(_cells(kind)[1]) - floors(Binning((bins,)))
    return np.maximum(steps, 0)


@cache
def _cuts(kind: str) -> Floats:
    """The latent number that each cell begins at."""
    starts, latent = _cells(kind)[0], _population(kind)[0]
    middle = (latent[np.maximum(starts - 1, 0)] + latent[np.minimum(starts, len(latent) - 1)]) / 2
    cuts: Floats = np.where(starts <= 0, -np.inf, np.where(starts >= len(latent), np.inf, middle))
    return cuts


def _shares(kind: str, effects: Floats, change: Change) -> Floats:
    """float64[m or 1, cells], the chance of each cell that holds a value."""
    if len(effects) and (effects == effects[0]).all():
        effects = effects[:1]
    if not kind.startswith("category"):
        below = special.ndtr((_cuts(kind) - effects[:, None] - change.shift) / change.spread)
        shares = np.diff(below, axis=1, prepend=0.0, append=1.0)
    else:
        shares = _shares_of_categories(_categories(kind), effects, change)
    normed: Floats = shares / shares.sum(axis=1, keepdims=True)
    return normed


def _shares_of_categories(k: int, effects: Floats, change: Change) -> Floats:
    tilt = np.where(np.arange(k) % 2, 0.5, -0.5)
    shares = np.exp(tilt * effects[:, None]) / np.arange(1, k + 1) ** 0.8
    shares /= shares.sum(axis=1, keepdims=True)
    if change.category:
        base = shares[:, change.which].copy()
        shares *= ((1 - base - change.category) / (1 - base))[:, None]
        shares[:, change.which] = base + change.category
    return np.pad(shares, ((0, 0), (0, 2)))
