"""Pearson's chi-squared statistic of two samples."""

from typing import ClassVar

import numpy as np

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import BOOL, NUMBERS, TEXT, Comparison, number
from driftline.monitors.columns.omnibus import suitable_cells
from driftline.profile.binning import Floats


class ChiSquared:
    """Pearson's statistic on the cells of the omnibus monitor, as an alternative to its G."""

    name: ClassVar[str] = "chi_squared"
    family: ClassVar[Family] = "drift"
    kinds: ClassVar[frozenset[str]] = frozenset({NUMBERS, TEXT, BOOL})
    alerts: ClassVar[bool] = False
    weight: ClassVar[float] = 1.0
    unit: ClassVar[str] = "chi-squared"
    varies: ClassVar[bool] = True

    def sizes(self, counts: Counts) -> Floats:
        """Rows with a value."""
        return counts.present

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """Chi-squared; its degrees of freedom are the number of cells minus 1."""
        observed, base = suitable_cells(current, reference)
        n, m = observed.sum(axis=1, keepdims=True), base.sum(axis=1, keepdims=True)
        cell = observed + base
        with np.errstate(divide="ignore", invalid="ignore"):
            squares = (observed * np.sqrt(m / n) - base * np.sqrt(n / m)) ** 2 / cell
        statistic = np.nan_to_num(squares).sum(axis=1)
        df = np.maximum((cell > 0).sum(axis=1) - 1.0, 1.0)
        return Comparison(statistic, df, statistic, df, np.zeros(len(statistic)))

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The statistic itself."""
        del current, reference
        return statistic

    def describe(self, current: Counts, reference: Counts) -> str:
        """The statistic."""
        result = self.compare(current, reference)
        value = number(float(result.statistic[0]))
        return f"chi-squared = {value} on {result.df[0]:.0f} degrees of freedom"
