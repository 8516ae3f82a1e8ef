"""Fixed-point numbers: sums of integers do not depend on order or grouping."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from driftline.profile.binning import Binning, Floats, Ints, NumericBins

BITS = 24  # a value is rounded to one in 16 million of its column's range


@dataclass(frozen=True)
class Scale:
    """The range of a numeric column in 2**24 - 1 equal steps; values outside are clipped to it.

    >>> scale = Scale(0.0, 10.0)
    >>> scale.steps(np.array([-5.0, 5.0, 1e9])), float(scale.values(np.array([0]))[0])
    (array([       0,  8388608, 16777215]), 0.0)
    """

    low: float
    high: float

    @classmethod
    def of(cls, bins: NumericBins) -> "Scale":
        """The scale of a column: from its lower limit to the largest number inside."""
        return cls(bins.edges[0], bins.top)

    @cached_property
    def factor(self) -> float:
        """Steps per unit; 0 if the range is too narrow to be divided."""
        span = self.high - self.low
        return (2**BITS - 1) / span if span > 1e-290 else 0.0

    @cached_property
    def origin(self) -> float:
        """Half a step below the range, so that rounding down rounds to the nearest step."""
        return self.low - 0.5 / self.factor if self.factor else self.low

    def steps(self, values: Floats) -> Ints:
        """The nearest step of each value, from 0 to 2**24 - 1; values must not be NaN."""
        inside = np.clip(values, self.low, self.high)
        inside -= self.origin
        inside *= self.factor
        return np.minimum(inside.astype(np.int64), 2**BITS - 1)

    def values(self, steps: Ints) -> Floats:
        """Steps, or sums of them, as distances above the lower limit."""
        return steps / self.factor if self.factor else np.zeros(np.shape(steps))


def floors(binning: Binning) -> Ints:
    """For each summed cell the step of its lower edge; packed sums are counted from there."""
    numeric = [bins for bins in binning.columns if isinstance(bins, NumericBins)]
    lowest = [
        Scale.of(bins).steps(np.array([bins.edges[0], *bins.edges[:-1], bins.top]))
        for bins in numeric
    ]
    return np.concatenate([np.zeros(0, dtype=np.int64), *lowest])
