"""A column that has become constant: all rows of a window lie in one cell."""

from typing import ClassVar

import numpy as np

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import NUMBERS, TEXTS, Comparison, moved, percent
from driftline.monitors.columns.rate import score_of
from driftline.profile.binning import Floats


class Constant:
    """Share of the rows with a value that lie in the fullest cell; tested when it is 1.

    For independent rows the probability of that is the sum over cells of share**n.
    """

    name: ClassVar[str] = "constant"
    family: ClassVar[Family] = "quality"
    kinds: ClassVar[frozenset[str]] = frozenset({NUMBERS, TEXTS})
    alerts: ClassVar[bool] = True
    weight: ClassVar[float] = 0.25
    unit: ClassVar[str] = "share"
    varies: ClassVar[bool] = False

    def sizes(self, counts: Counts) -> Floats:
        """Rows with a value."""
        return counts.present

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """The probability of a constant window, as a chi-squared score with 1 degree of freedom."""
        n, fullest = current.present, current.values.max(axis=1, initial=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = reference.values / reference.present[:, None]
            probability = np.minimum((shares ** n[:, None]).sum(axis=1), 1.0)
            value = fullest / n
        score = score_of(np.where(np.isnan(probability), 1.0, probability))
        expected = np.broadcast_to(shares.max(axis=1, initial=0), value.shape)
        constant = (n > 0) & (fullest >= n)
        return Comparison(
            value, expected, np.where(constant, score, 0.0), np.ones(len(n)), np.zeros(len(n))
        )

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """None: only a constant window alarms, so there is no threshold."""
        del statistic, current, reference
        return None

    def describe(self, current: Counts, reference: Counts) -> str:
        """The share of the most frequent value."""
        share = current.values.max() / current.present[0]
        expected = reference.values.max() / reference.present[0]
        return f"share of the most frequent value {moved(float(expected), float(share), percent)}"
