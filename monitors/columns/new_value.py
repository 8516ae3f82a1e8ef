"""A text that is new, or almost new, in many rows: detected among all unseen texts.

In a column with a long tail some texts are always unseen, and one new text in 1 % of the rows
hardly changes their share. So values without a cell of their own are hashed to shared cells, and a
frequent new one overfills a single cell.
"""

from typing import ClassVar

import numpy as np
from scipy import special

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import HASHED, Comparison, moved, percent
from driftline.monitors.columns.rate import score_of
from driftline.profile.binning import CategoryBins, Floats

_ERRORS = 3.0  # standard errors of a cell's rows in the reference
_MISS_PROBABILITY = 0.1  # that a text more frequent than allowed for is not in the reference
_GRID = np.geomspace(1e-5, 1, 200)  # searched for a threshold


class NewValue:
    """Share of the rows in the hashed cell that stands out most, from 0 to 1.

    A cell is compared with an upper bound of its expected rows: its rows in the reference, three
    standard errors, and the largest frequency that a text absent from the reference can have. So
    texts of a long tail that occur for the first time do not alarm. The variation between windows
    is negligible in comparison.
    """

    name: ClassVar[str] = "new_value"
    family: ClassVar[Family] = "quality"
    kinds: ClassVar[frozenset[str]] = frozenset({HASHED})
    alerts: ClassVar[bool] = True
    weight: ClassVar[float] = 0.5
    unit: ClassVar[str] = "share"
    varies: ClassVar[bool] = False

    def sizes(self, counts: Counts) -> Floats:
        """All rows."""
        return counts.rows

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """The smallest p-value of h cells as a chi-squared score with 1 degree of freedom."""
        observed, base = _hashed(current), _hashed(reference)
        p = _p_values(observed, current.rows, base, reference.rows)
        at, windows = p.argmin(axis=1), np.arange(len(observed))
        score = score_of(p[windows, at] * observed.shape[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            value = observed[windows, at] / current.rows
            shares = np.broadcast_to(base / reference.rows[:, None], observed.shape)
        df = sign = np.ones(len(observed))
        return Comparison(value, shares[windows, at], score, df, sign)

    def dispersion(self, current: Counts, reference: Counts, rows: float) -> tuple[Floats, float]:
        """Zero: the variation between windows is within the upper bound of a cell."""
        del reference, rows
        return np.zeros(len(current)), 1.0

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The smallest share of an average cell that alarms."""
        base = _hashed(reference)
        average = np.broadcast_to(base.mean(axis=1, keepdims=True), (len(_GRID), 1))
        rows = np.broadcast_to(current.rows, len(_GRID))
        p = _p_values(_GRID[:, None] * rows[:, None], rows, average, reference.rows)[:, 0]
        above = np.flatnonzero(score_of(p * base.shape[1]) >= statistic)
        return float(_GRID[above[0]]) if len(above) else None

    def describe(self, current: Counts, reference: Counts) -> str:
        """The share of the cell, in the window and in the reference."""
        result = self.compare(current, reference)
        change = moved(float(result.expected[0]), float(result.value[0]), percent)
        bins = current.bins
        assert isinstance(bins, CategoryBins)
        count = len(bins.categories)
        value = "a new value" if bins.pooled is not None else f"a value not of the {count:,} known"
        return f"share of {value}, or of several with the same hash, {change}"


def _hashed(counts: Counts) -> Floats:
    assert counts.hashed is not None
    return counts.hashed


def _p_values(observed: Floats, rows: Floats, base: Floats, base_rows: Floats) -> Floats:
    """float64[m, h], the Poisson probability of at least the observed rows in each cell, with
    the upper bound of its share as the mean."""
    bound = (base + _ERRORS * np.sqrt(base) + _max_unseen(base_rows)[:, None]) / base_rows[:, None]
    expected = np.broadcast_to(rows[:, None] * bound, observed.shape)
    p = np.ones(observed.shape)
    above = observed > expected
    p[above] = special.gammainc(observed[above], expected[above])
    return p


def _max_unseen(rows: Floats) -> Floats:
    """The largest expected count x of a text that does not occur in `rows` rows: with probability
    1 - `_MISS_PROBABILITY`, all of the at most rows / x texts this frequent occur.

    >>> _max_unseen(np.array([1e4, 1e6])).round(1)
    array([ 9.3, 13.5])
    """
    largest: Floats = special.lambertw(rows / _MISS_PROBABILITY).real
    return largest
