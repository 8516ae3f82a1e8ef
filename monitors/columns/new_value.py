"""One text that the reference does not have, or hardly, in many rows: found among all unseen ones.

In a column with a long tail some rows are always unseen, and one new text in one of a hundred rows
does not show in their share. So values without a cell of their own share some by their hash, and a
new one makes one of these cells alone too full.
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
_MISSED = 0.1  # chance that the reference lacks a text that is more frequent than allowed for
_GRID = np.geomspace(1e-5, 1, 200)  # where a threshold is looked for


class NewValue:
    """Share of the rows in the hashed cell that stands out most, from 0 to 1.

    What a cell may hold is an upper bound: its rows in the reference, three standard errors, and
    as many as a text can have had without one row in the reference. So it does not alarm for the
    texts of a long tail that come for the first time. A level that windows differ by does not
    matter beside that.
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
        """The smallest chance of h cells as a chi-squared score with one degree of freedom."""
        now, before = _hashed(current), _hashed(reference)
        chances = _chances(now, current.rows, before, reference.rows)
        at, rest = chances.argmin(axis=1), np.arange(len(now))
        score = score_of(chances[rest, at] * now.shape[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            value = now[rest, at] / current.rows
            shares = np.broadcast_to(before / reference.rows[:, None], now.shape)
        one = np.ones(len(now))
        return Comparison(value, shares[rest, at], score, one, one)

    def dispersion(self, current: Counts, reference: Counts, rows: float) -> tuple[Floats, float]:
        """None: what windows differ by is within what a cell may hold."""
        del reference, rows
        return np.zeros(len(current)), 1.0

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The share of a cell from which on it would alarm, in the usual cell."""
        before = _hashed(reference)
        usual = np.broadcast_to(before.mean(axis=1, keepdims=True), (len(_GRID), 1))
        rows = np.broadcast_to(current.rows, len(_GRID))
        chances = _chances(_GRID[:, None] * rows[:, None], rows, usual, reference.rows)[:, 0]
        above = np.flatnonzero(score_of(chances * before.shape[1]) >= statistic)
        return float(_GRID[above[0]]) if len(above) else None

    def describe(self, current: Counts, reference: Counts) -> str:
        """The share of the cell, now and in the reference."""
        found = self.compare(current, reference)
        said = moved(float(found.expected[0]), float(found.value[0]), percent)
        bins = current.bins
        assert isinstance(bins, CategoryBins)
        known = len(bins.categories)
        which = "a new value" if bins.pooled is not None else f"a value not of the {known:,} known"
        return f"share of {which}, or of some with its hash, {said}"


def _hashed(counts: Counts) -> Floats:
    assert counts.hashed is not None
    return counts.hashed


def _chances(now: Floats, rows: Floats, before: Floats, known: Floats) -> Floats:
    """How often each cell has so many rows, or more, without a change: by Poisson's law of the
    most that it may be expected to have, float64[m, h]."""
    most = (before + _ERRORS * np.sqrt(before) + _unlucky(known)[:, None]) / known[:, None]
    expected = np.broadcast_to(rows[:, None] * most, now.shape)
    chances = np.ones(now.shape)
    above = now > expected
    chances[above] = special.gammainc(now[above], expected[above])
    return chances


def _unlucky(rows: Floats) -> Floats:
    """How many of some rows a text was expected to have of which they have none, at most: x, when
    the rows / x texts that may be so frequent are all there but for a chance of `_MISSED`.

    >>> _unlucky(np.array([1e4, 1e6])).round(1)
    array([ 9.3, 13.5])
    """
    found: Floats = special.lambertw(rows / _MISSED).real
    return found
