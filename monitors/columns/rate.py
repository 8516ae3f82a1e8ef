"""The score of a share against the share in a reference, which rate monitors use."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import special

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Comparison, moved, percent
from driftline.profile.binning import Floats

_TINY = 1e-300
_RARE = 0.05  # smaller shares are tested conditionally on the total of hits
_PRECISE = 100  # hits of a reference from which its share is precise
_GRIDS = (np.geomspace(1e-6, 1, 40), np.linspace(0, 1, 40))  # searched for a threshold, in turn


def rate_z(hits: Floats, rows: Floats, reference_hits: Floats, reference_rows: Floats) -> Floats:
    """Signed normal score of a share.

    Rare hits: given the total of hits, those of the window are binomial for any true share
    (Przyborowski and Wilenski 1940); the variance is corrected to the hypergeometric one. Common
    hits with a larger reference: the window's are binomial with the reference's share, and the
    score allows for the reference's standard error.

    Parameters:
        hits, rows: of the window, any shape.
        reference_hits, reference_rows: of the reference, shapes that broadcast.

    >>> z = rate_z(np.array([60.0]), np.array([2000.0]), np.array([900.0]), np.array([90000.0]))
    >>> round(float(z[0]), 1)
    7.1
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (hits + reference_hits) / (rows + reference_rows)
        common = share > 0.5
        x = np.where(common, rows - hits, hits)
        y = np.where(common, reference_rows - reference_hits, reference_hits)
        part, expected = rows / (rows + reference_rows), y / reference_rows
        more = x / rows >= expected
        precise = (expected > _RARE) & (y >= _PRECISE) & (rows < reference_rows / 5)
        n, p = np.where(precise, rows, x + y), np.where(precise, expected, part)
        variance = np.where(precise, 1 + part, 1 - np.minimum(share, 1 - share))
        z = _score(x, n, p, more) / np.sqrt(variance)
    sign = np.where(more, 1.0, -1.0) * np.where(common, -1.0, 1.0)
    scored: Floats = np.where(np.isnan(z), 0.0, sign * z)
    return scored


def _score(x: Floats, n: Floats, p: Floats, more: npt.NDArray[np.bool_]) -> Floats:
    """Normal score of the binomial tail at x, the upper or lower one, not below 0; the root of the
    deviance where the tail underflows."""
    # the lower tail is the upper tail of the rows that are not hits
    a, q = np.where(more, x, n - x), np.where(more, p, 1 - p)
    tail = np.where(a > 0, special.betainc(np.maximum(a, _TINY), n - a + 1, q), 1.0)
    far = tail < _TINY
    near: Floats = np.maximum(-special.ndtri(np.where(far, 0.5, tail)), 0.0)
    if not far.any():
        return near
    deviance = 2 * (special.xlogy(a, a / (n * q)) + special.xlogy(n - a, (n - a) / (n - n * q)))
    scored: Floats = np.where(far, np.sqrt(np.maximum(deviance, 0.0)), near)
    return scored


def score_of(p: Floats) -> Floats:
    """A p-value as a chi-squared score with 1 degree of freedom; 0 where it is 1 or more.

    >>> score_of(np.array([0.05, 1.0, 3.0])).round(2)
    array([3.84, 0.  , 0.  ])
    """
    score: Floats = special.ndtri(np.clip(p, _TINY, 1.0) / 2) ** 2
    return score


class Rate(ABC):
    """A monitor of the share of rows with a flaw; the value is that share."""

    name: ClassVar[str]
    family: ClassVar[Family] = "quality"
    kinds: ClassVar[frozenset[str]]
    alerts: ClassVar[bool] = True
    weight: ClassVar[float] = 0.5
    unit: ClassVar[str] = "share"
    varies: ClassVar[bool] = True
    flaw: ClassVar[str]  # for display: a noun, plural

    @abstractmethod
    def hits(self, counts: Counts) -> Floats:
        """float64[m], the number of rows with the flaw."""

    def sizes(self, counts: Counts) -> Floats:
        """All rows."""
        return counts.rows

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """The normal score of the share, squared: chi-squared with 1 degree of freedom."""
        hits, rows = self.hits(current), current.rows
        base, base_rows = self.hits(reference), reference.rows
        z = rate_z(hits, rows, base, base_rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            value, expected = hits / rows, base / base_rows
        return Comparison(
            value,
            np.broadcast_to(expected, value.shape),
            z**2,
            np.ones(len(z)),
            np.sign(z),
        )

    def dispersion(self, current: Counts, reference: Counts, rows: float) -> tuple[Floats, float]:
        """The squared deviation of the share, over its variance."""
        del rows
        share = self.hits(reference) / reference.rows
        part = current.rows / reference.rows
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = current.rows * share * (1 - share) * (1 + part)
            squared: Floats = (self.hits(current) - current.rows * share) ** 2 / variance
        return np.where(share > 0, squared, 0.0), 1.0

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The smallest share that alarms; None when not even all rows are enough."""
        base, base_rows = self.hits(reference), reference.rows
        low, high = float(base[0] / base_rows[0]), 1.0
        for scale in _GRIDS:
            shares = low + (high - low) * scale
            z = rate_z(current.rows * shares, current.rows, base, base_rows)
            above = np.flatnonzero(z**2 >= statistic)
            if not len(above):
                return None
            low, high = float(shares[max(above[0] - 1, 0)]), float(shares[above[0]])
        return high

    def describe(self, current: Counts, reference: Counts) -> str:
        """The share, in the window and in the reference."""
        share, expected = (float(self.hits(c)[0] / c.rows[0]) for c in (current, reference))
        return f"share of {self.flaw} {moved(expected, share, percent)}"
