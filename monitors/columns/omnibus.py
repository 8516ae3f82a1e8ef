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

_SMALLEST = 150.0  # rows that 4 bins are for; twice the rows have twice the bins ...
_MOST = 5  # ... up to 32 bins: more only spread the power
_EIGHTHS = 3  # level of bins that are few enough to be named
_EXPECTED = 5.0  # rows of a cell in the window; cells with fewer are pooled


class Omnibus:
    """G statistic (likelihood ratio) of two samples; large for any change, of any direction.

    Bins are coarsened to suit the window's rows and rare categories pooled, then Williams'
    correction (1976) makes chi-squared a good law from 50 rows on.
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
        """G with as many degrees of freedom as cells less one."""
        now, before = suited(current, reference)
        statistic, df = g_statistic(now, before)
        nothing = np.zeros(len(statistic))
        return Comparison(statistic, df, statistic, np.maximum(df, 1.0), nothing)

    def dispersion(self, current: Counts, reference: Counts, rows: float) -> tuple[Floats, float]:
        """Pearson's statistic, whose mean does not depend on how few rows a cell has."""
        now, before = suited(current, reference, rows)
        squares = apart(now, before)
        return squares.sum(axis=1), float(squares.shape[1] - 1)

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The statistic itself."""
        del current, reference
        return statistic

    def describe(self, current: Counts, reference: Counts) -> str:
        """The statistic and the cell that changed most."""
        now, before = suited(current, reference)
        statistic, df = g_statistic(now, before)
        g = f"G = {number(float(statistic[0]))}, {df[0]:.0f} degrees of freedom"
        return f"{_largest_change(current, reference)} ({g})"


def _largest_change(current: Counts, reference: Counts) -> str:
    """Of the values of one window, those whose share has changed most; numbers by eighths."""
    bins, level = current.bins, FINEST
    if isinstance(bins, NumericBins):
        bins, level = bins.coarse(_EIGHTHS), _EIGHTHS
    before, now = (one.coarse(level)[0] for one in (reference, current))
    before, now = before / max(before.sum(), 1.0), now / max(now.sum(), 1.0)
    at = int(np.abs(now - before).argmax())
    label = bins.labels()[at]
    name = repr(label) if isinstance(bins, CategoryBins) else f"share of values {label}"
    return f"{name} {moved(float(before[at]), float(now[at]), percent)}"


def suited(current: Counts, reference: Counts, rows: float | None = None) -> tuple[Floats, Floats]:
    """The cells of both, float64[m, k] each, coarse enough for windows of some rows.

    Args:
        rows: default: of the windows themselves.
    """
    if rows is None:
        rows = float(current.present.mean()) if len(current) else 0.0
    level = FINEST
    if isinstance(current.bins, NumericBins):
        level = int(np.clip(2 + np.floor(np.log2(max(rows, 1.0) / _SMALLEST * 1.01)), 1, _MOST))
    return pooled(current.coarse(level), reference.coarse(level), rows)


def pooled(now: Floats, before: Floats, rows: float) -> tuple[Floats, Floats]:
    """Cells that are rare in a window of so many rows as one, the last, not rare itself."""
    rare = rare_cells(before, rows)
    return (_joined(now, rare), _joined(before, rare)) if rare.any() else (now, before)


def rare_cells(before: Floats, rows: float) -> npt.NDArray[np.bool_]:
    """Which of k cells are pooled in a window of so many rows, bool[k]; none where all would be.

    The most frequent is none of them: what is pooled with it can't be told from it.
    """
    expected = rows * before.sum(axis=0) / max(before.sum(), 1.0)
    rare: npt.NDArray[np.bool_] = expected < _EXPECTED
    if rare.all():
        return np.zeros_like(rare)
    if rare.any() and expected[rare].sum() < _EXPECTED and (~rare).sum() > 1:
        rare[np.flatnonzero(~rare)[expected[~rare].argmin()]] = True
    return rare


def apart(now: Floats, before: Floats) -> Floats:
    """How far k cells of m windows are from what their references let expect, squared, so that
    the sum over the cells is k - 1 in the mean of independent rows.

    Args:
        now, before: float64[m, k], counts of the cells.
    """
    n, known = now.sum(axis=1, keepdims=True), before.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = n * before / known
        squares: Floats = np.where(
            (before == 0) & (n > 0), 0.0, (now - expected) ** 2 / (expected * (1 + n / known))
        )
    return squares


def g_statistic(now: Floats, before: Floats) -> tuple[Floats, Floats]:
    """G of m pairs of samples, corrected, and its degrees of freedom.

    Of two cells one may be rare, and then G has another law: their share's exact score is taken.

    Args:
        now, before: float64[m or 1, k], counts of the cells.

    Returns:
        float64[m] each; 0 and 0 where one of the samples is empty.

    >>> g, df = g_statistic(np.array([[30.0, 20.0, 10.0]]), np.array([[500.0, 500.0, 500.0]]))
    >>> g.round(2), df
    (array([9.97]), array([2.]))
    """
    n, known = now.sum(axis=1, keepdims=True), before.sum(axis=1, keepdims=True)
    some = (n[:, 0] > 0) & (known[:, 0] > 0)
    if now.shape[1] == 2:
        score = rate_z(now[:, 0], n[:, 0], before[:, 0], known[:, 0])
        return np.where(some, score**2, 0.0), np.where(some, 1.0, 0.0)
    total, cell = n + known, now + before
    with np.errstate(divide="ignore", invalid="ignore"):
        g = 2 * (
            special.xlogy(now, now * total / (n * cell))
            + special.xlogy(before, before * total / (known * cell))
        )
        there = cell > 0
        df = there.sum(axis=1) - 1.0
        inverse = np.where(there, total / cell, 0.0).sum(axis=1) - 1
        rows = (total / n + total / known)[:, 0] - 1
        correction = 1 + rows * inverse / (6 * total[:, 0] * np.maximum(df, 1))
        statistic = np.nansum(g, axis=1) / correction
    return np.where(some, np.maximum(statistic, 0.0), 0.0), np.where(some, df, 0.0)


def _joined(part: Floats, rare: npt.NDArray[np.bool_]) -> Floats:
    return np.concatenate((part[:, ~rare], part[:, rare].sum(axis=1, keepdims=True)), axis=1)
