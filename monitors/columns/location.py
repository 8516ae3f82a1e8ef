"""The mean of a numeric column, in its own unit."""

from typing import ClassVar

import numpy as np

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import NUMBERS, Comparison, moved
from driftline.monitors.columns.saddlepoint import mean_score
from driftline.profile.binning import Floats


class Location:
    """Mean of the values, clipped to the frozen limits; in the column's unit.

    Unlike a distance between distributions it does not saturate when the distributions no longer
    overlap. The null distribution of the mean comes from the reference's cells.
    """

    name: ClassVar[str] = "location"
    family: ClassVar[Family] = "drift"
    kinds: ClassVar[frozenset[str]] = frozenset({NUMBERS})
    alerts: ClassVar[bool] = True
    weight: ClassVar[float] = 1.0
    unit: ClassVar[str] = "the column's"
    varies: ClassVar[bool] = True

    def sizes(self, counts: Counts) -> Floats:
        """Rows with a value."""
        return counts.present

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """The mean's normal score, squared: chi-squared with 1 degree of freedom."""
        means, expected = current.means, reference.means
        z = self._scores(means, current.present, reference)
        shape = means.shape
        return Comparison(means, np.broadcast_to(expected, shape), z**2, np.ones(shape), np.sign(z))

    def dispersion(self, current: Counts, reference: Counts, rows: float) -> tuple[Floats, float]:
        """The squared deviation of the mean, over its variance."""
        del rows
        variance = _deviation(reference) ** 2 * (1 / current.present + 1 / reference.present)
        squares = (current.means - reference.means) ** 2
        return np.divide(squares, variance, out=np.zeros_like(squares), where=variance > 0), 1.0

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The mean above which it alarms."""
        spread = float(_deviation(reference)[0])
        n, m = float(current.present[0]), float(reference.present[0])
        return float(reference.means[0] + spread * np.sqrt(statistic * (1 / n + 1 / m)))

    def describe(self, current: Counts, reference: Counts) -> str:
        """The means, and the change in the reference's standard deviations."""
        mean, expected = float(current.means[0]), float(reference.means[0])
        spread = float(_deviation(reference)[0])
        sigma = f" ({(mean - expected) / spread:+.2f} sigma)" if spread > 0 else ""
        return f"mean {moved(expected, mean)}{sigma}"

    def _scores(self, means: Floats, n: Floats, reference: Counts) -> Floats:
        m = reference.present
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = reference.values / m[:, None]
            change = means - reference.means
        spread = _deviation(reference)
        if len(reference) == 1:
            shares = np.broadcast_to(shares, (len(means), shares.shape[1]))
        centres = reference.centres
        # the cells' own means, so that the distribution's mean is the reference's
        z = mean_score(change + shares @ centres, n, shares, centres)
        z = z / np.sqrt(1 + n / m)
        no_spread = np.where(change == 0, 0.0, np.sign(change) * np.sqrt(n))
        scored: Floats = np.where((spread > 0) & (change != 0), z, no_spread)
        return scored


def _deviation(reference: Counts) -> Floats:
    centres, values = reference.centres, reference.values
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = values / values.sum(axis=1, keepdims=True)
    mean = shares @ centres
    deviation: Floats = np.sqrt((shares * (centres - mean[:, None]) ** 2).sum(axis=1))
    return deviation
