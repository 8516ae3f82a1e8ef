"""Distances between distributions: shown and stored; they open incidents only if configured."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import BOOL, NUMBERS, TEXT, Comparison, number
from driftline.profile.binning import Floats


class Distance(ABC):
    """A distance of a window's distribution from the reference's; not negative."""

    name: ClassVar[str]
    family: ClassVar[Family] = "drift"
    kinds: ClassVar[frozenset[str]] = frozenset({NUMBERS, TEXT, BOOL})
    alerts: ClassVar[bool] = False
    weight: ClassVar[float] = 1.0
    unit: ClassVar[str] = ""
    varies: ClassVar[bool] = True

    @abstractmethod
    def distance(self, current: Counts, reference: Counts) -> Floats:
        """float64[m]; NaN where either is empty."""

    def sizes(self, counts: Counts) -> Floats:
        """Rows with a value."""
        return counts.present

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """The distance itself; its null distribution comes only from the reference's windows."""
        value = self.distance(current, reference)
        unknown, zero = np.full(len(value), np.nan), np.zeros(len(value))
        return Comparison(value, zero, np.nan_to_num(value), unknown, zero)

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The distance is the statistic."""
        del current, reference
        return statistic

    def describe(self, current: Counts, reference: Counts) -> str:
        """The distance."""
        value = number(float(self.distance(current, reference)[0]))
        return f"{self.name.replace('_', ' ')} {value}"


def shares(values: Floats) -> Floats:
    """float64[m, k], each row divided by its sum; NaN where that is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        divided: Floats = values / values.sum(axis=1, keepdims=True)
    return divided
