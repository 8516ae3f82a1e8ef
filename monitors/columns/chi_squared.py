"""Pearson's chi-squared statistic of two samples."""

from typing import ClassVar

import numpy as np

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import BOOL, NUMBERS, TEXT, Comparison, number
from driftline.monitors.columns.omnibus import suited
from driftline.profile.binning import Floats


class ChiSquared:
    """Pearson's statistic on the cells of the omnibus monitor, beside its G."""

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
        """Chi-squared with as many degrees of freedom as cells less one."""
        now, before = suited(current, reference)
        n, known = now.sum(axis=1, keepdims=True), before.sum(axis=1, keepdims=True)
        cell = now + before
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = (now * np.sqrt(known / n) - before * np.sqrt(n / known)) ** 2 / cell
        statistic = np.nan_to_num(apart).sum(axis=1)
        df = np.maximum((cell > 0).sum(axis=1) - 1.0, 1.0)
        return Comparison(statistic, df, statistic, df, np.zeros(len(statistic)))

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The statistic itself."""
        del current, reference
        return statistic

    def describe(self, current: Counts, reference: Counts) -> str:
        """The statistic."""
        found = self.compare(current, reference)
        value = number(float(found.statistic[0]))
        return f"chi-squared = {value} on {found.df[0]:.0f} degrees of freedom"
