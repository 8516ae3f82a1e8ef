"""Null distributions of statistics, and the significance levels that are attainable with them."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from driftline.profile.binning import Floats

#: `sampling`: rows behave as independent, so theory holds in the tail; `windows`: estimated from
#: the reference's own windows, which vary by more; `declared`: variation assumed by the config.
Basis = Literal["sampling", "windows", "declared"]

_PER_BLOCK = 10.0  # with n effective windows a level of 1 / (10 n) is attainable
_MIN_LEVEL = 1e-9
MOSTLY_SAMPLING = 2.0  # at most this many times the variance of independent rows: mostly sampling


def freedom(df: float, scale: float) -> float:
    """Degrees of freedom that match a statistic whose mean `scale` exceeds its own `df`.

    The excess is attributed to one degree of freedom, which gives the longest tail.

    >>> freedom(1.0, 4.0), freedom(7.0, 7.0)
    (1.0, 7.0)
    """
    return 2 * scale**2 / (2 * (df - 1) + 2 * (1 + scale - df) ** 2)


@dataclass(frozen=True)
class NullDistribution:
    """A null distribution: statistic / scale is distributed as F(df1, df2).

    Exact for a squared normal score with normal variation from day to day that was estimated from
    b effective windows (Student's t, squared); other statistics are matched by mean and variance
    (Satterthwaite 1946). The tail index, 2 / df2, is never negative and grows as the number of
    effective windows falls.

    Attributes:
        size: rows of the windows that it was estimated from.
        scale: the mean of the statistic.
        df1, df2: degrees of freedom; df1 of the statistic, df2 of the estimate of its scale.
        blocks: effective number of independent windows behind it.
        basis: how it was obtained.
        df: degrees of freedom of the statistic for independent rows; None when unknown.
        differs: windows vary by more than sampling, significantly or by more than was assumed;
            True where that was not tested.
    """

    size: float
    scale: float
    df1: float
    df2: float
    blocks: float
    basis: Basis
    df: float | None = None
    differs: bool = True

    @property
    def attainable(self) -> float:
        """The smallest attainable significance level."""
        if self.basis == "windows":
            return 1 / (_PER_BLOCK * max(self.blocks, 1.0))
        return _MIN_LEVEL

    def p_value(self, statistic: npt.ArrayLike) -> Floats:
        """Probability of a statistic at least as large in a window without change."""
        with np.errstate(over="ignore"):  # infinitely unusual then
            ratio = np.asarray(statistic) / self.scale
        p: Floats = special.fdtrc(self.df1, self.df2, ratio)
        return p

    def threshold(self, level: float) -> float:
        """The statistic that is reached with probability `level` when nothing has changed."""
        return self.scale / float(special.fdtri(self.df2, self.df1, level))

    def resized(self, size: float, df: float) -> "NullDistribution":
        """The same for windows of another size, by variance components: the part above the
        sampling variance grows in proportion to the rows."""
        if self.df is None or not math.isfinite(df):
            return replace(self, size=size)
        excess = max(self.scale / self.df - 1, 0.0) * size / self.size
        return replace(self, size=size, scale=df * (1 + excess), df=df)

    def to_dict(self) -> dict[str, Any]:
        """The columns of table `calibration`."""
        return dict(self.__dict__)
