"""Any change of a column's distribution: the G test on its cells."""

from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import special

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import (
    BOOL,
    NUMBERS,
    TEXT,
    Comparison,
    moved,
    number,
    percent,
)
from driftline.monitors.columns.rate import rate_z
from driftline.profile.binning import FINEST, CategoryBins, Floats, NumericBins

_ROWS_FOR_4_BINS = 150.0  # twice the rows have twice the bins ...
_MAX_LEVEL = 5  # ... up to 32 bins: with more, power falls
_EIGHTHS = 3  # level of the bins that are few enough to be named
_MIN_EXPECTED = 5.0  # rows of a cell in the window; cells with fewer are pooled


class Omnibus:
    """G statistic (likelihood ratio) of two samples; large for any kind of change.

    Bins are coarsened to suit the window's rows and rare categories are pooled; with Williams'
    correction (1976) the chi-squared approximation is good from 50 rows on.
    """

    name: ClassVar[str] = "omnibus"
    family: ClassVar[Family] = "drift"
    kinds: ClassVar[frozenset[str]] = frozenset({NUMBERS, TEXT, BOOL})
    alerts: ClassVar[bool] = True
    weight: ClassVar[float] = 1.0
    unit: ClassVar[str] = "G"
    varies: ClassVar[bool] = True

    def sizes(self, counts: Counts) -> Floats:
        """Rows with a value."""
        return counts.present

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """G; its degrees of freedom are the number of cells minus 1."""
        observed, base = suitable_cells(current, reference)
        statistic, df = g_statistic(observed, base)
        zeros = np.zeros(len(statistic))
        return Comparison(statistic, df, statistic, np.maximum(df, 1.0), zeros)

    def dispersion(self, current: Counts, reference: Counts, rows: float) -> tuple[Floats, float]:
        """Pearson's statistic, whose mean is exact however few rows a cell has."""
        observed, base = suitable_cells(current, reference, rows)
        squares = squared_residuals(observed, base)
        return squares.sum(axis=1), float(squares.shape[1] - 1)

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The statistic itself."""
        del current, reference
        return statistic

    def describe(self, current: Counts, reference: Counts) -> str:
        """The statistic and the cell that changed most."""
        observed, base = suitable_cells(current, reference)
        statistic, df = g_statistic(observed, base)
        g = f"G = {number(float(statistic[0]))}, {df[0]:.0f} degrees of freedom"
        return f"{_largest_change(current, reference)} ({g})"


def _largest_change(current: Counts, reference: Counts) -> str:
    """The values of one window whose share changed most; numbers in eighths of the reference."""
    bins, level = current.bins, FINEST
    if isinstance(bins, NumericBins):
        bins, level = bins.coarse(_EIGHTHS), _EIGHTHS
    base, observed = (counts.coarse(level)[0] for counts in (reference, current))
    base, observed = base / max(base.sum(), 1.0), observed / max(observed.sum(), 1.0)
    at = int(np.abs(observed - base).argmax())
    label = bins.labels()[at]
    name = repr(label) if isinstance(bins, CategoryBins) else f"share of values {label}"
    return f"{name} {moved(float(base[at]), float(observed[at]), percent)}"


def suitable_cells(
    current: Counts, reference: Counts, rows: float | None = None
) -> tuple[Floats, Floats]:
    """The cells of both, float64[m, k] each, coarse enough for windows of some rows.

    Parameters:
        rows: default: the mean of the windows' own.
    """
    if rows is None:
        rows = float(current.present.mean()) if len(current) else 0.0
    level = FINEST
    if isinstance(current.bins, NumericBins):
        level = int(
            np.clip(2 + np.floor(np.log2(max(rows, 1.0) / _ROWS_FOR_4_BINS * 1.01)), 1, _MAX_LEVEL)
        )
    return pooled(current.coarse(level), reference.coarse(level), rows)


def pooled(observed: Floats, base: Floats, rows: float) -> tuple[Floats, Floats]:
    """The cells with those that are rare in `rows` rows pooled into one, the last."""
    rare = rare_cells(base, rows)
    return (_pool(observed, rare), _pool(base, rare)) if rare.any() else (observed, base)


def rare_cells(base: Floats, rows: float) -> npt.NDArray[np.bool_]:
    """The cells that are pooled in a window of `rows` rows, bool[k]; none where all would be.

    The most frequent is never pooled, so that a change of it can be detected.
    """
    expected = rows * base.sum(axis=0) / max(base.sum(), 1.0)
    rare: npt.NDArray[np.bool_] = expected < _MIN_EXPECTED
    if rare.all():
        return np.zeros_like(rare)
    if rare.any() and expected[rare].sum() < _MIN_EXPECTED and (~rare).sum() > 1:
        rare[np.flatnonzero(~rare)[expected[~rare].argmin()]] = True
    return rare


def squared_residuals(observed: Floats, base: Floats) -> Floats:
    """The squared Pearson residuals of k cells of m windows against their references; for
    independent rows the mean of their sum over the cells is k - 1.

    Parameters:
        observed, base: float64[m, k], counts of the cells.
    """
    n, m = observed.sum(axis=1, keepdims=True), base.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = n * base / m
        squares: Floats = np.where(
            (base == 0) & (n > 0), 0.0, (observed - expected) ** 2 / (expected * (1 + n / m))
        )
    return squares


def g_statistic(observed: Floats, base: Floats) -> tuple[Floats, Floats]:
    """G of m pairs of samples, corrected, and its degrees of freedom.

    With two cells, one can be rare, and G is not chi-squared: the exact score of the share is used.

    Parameters:
        observed, base: float64[m or 1, k], counts of the cells.

    Returns:
        float64[m] each; 0 and 0 where one of the samples is empty.

    >>> g, df = g_statistic(np.array([[30.0, 20.0, 10.0]]), np.array([[500.0, 500.0, 500.0]]))
    >>> g.round(2), df
    (array([9.97]), array([2.]))
    """
    n, m = observed.sum(axis=1, keepdims=True), base.sum(axis=1, keepdims=True)
    filled = (n[:, 0] > 0) & (m[:, 0] > 0)
    if observed.shape[1] == 2:
        score = rate_z(observed[:, 0], n[:, 0], base[:, 0], m[:, 0])
        return np.where(filled, score**2, 0.0), np.where(filled, 1.0, 0.0)
    total, cell = n + m, observed + base
    with np.errstate(divide="ignore", invalid="ignore"):
        g = 2 * (
            special.xlogy(observed, observed * total / (n * cell))
            + special.xlogy(base, base * total / (m * cell))
        )
        occupied = cell > 0
        df = occupied.sum(axis=1) - 1.0
        inverse = np.where(occupied, total / cell, 0.0).sum(axis=1) - 1
        rows = (total / n + total / m)[:, 0] - 1
        correction = 1 + rows * inverse / (6 * total[:, 0] * np.maximum(df, 1))
        statistic = np.nansum(g, axis=1) / correction
    return np.where(filled, np.maximum(statistic, 0.0), 0.0), np.where(filled, df, 0.0)


def _pool(part: Floats, rare: npt.NDArray[np.bool_]) -> Floats:
    return np.concatenate((part[:, ~rare], part[:, rare].sum(axis=1, keepdims=True)), axis=1)
