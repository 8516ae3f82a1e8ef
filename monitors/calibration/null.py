"""The law of a statistic when nothing has changed, and what it can support."""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from driftline.profile.binning import Floats

#: sampling: rows behave as independent, so theory reaches into the tail; windows: the reference's
#: own windows differ by more, and only they say how much; declared: nothing is known of them.
Basis = Literal["sampling", "windows", "declared"]

_PER_BLOCK = 10.0  # a level of one in ten times the effective blocks can be supported
_DEEPEST = 1e-9
MOSTLY_SAMPLING = 2.0  # a spread of at most so many times that of independent rows is theirs


def freedom(df: float, scale: float) -> float:
    """Degrees of freedom of a statistic with so many of its own, when what is above them counts as
    one thing that moves them all: it adds to one degree of freedom, which makes the longest tail.

    >>> freedom(1.0, 4.0), freedom(7.0, 7.0)
    (1.0, 7.0)
    """
    return 2 * scale**2 / (2 * (df - 1) + 2 * (1 + scale - df) ** 2)


@dataclass(frozen=True)
class Null:
    """statistic / scale is distributed as F(df1, df2).

    A squared normal score with a day-to-day variation of normal law, estimated from b effective
    windows, has exactly this law (Student's t, squared); other statistics are matched to it by
    their mean and variance (Satterthwaite 1946). The tail's shape, 2 / df2, is never negative and
    grows as the effective windows become few.

    Attributes:
        size: rows of the windows that it was found at.
        scale: the mean of the statistic.
        df1, df2: degrees of freedom; df1 says how spread the statistic is, df2 how well that is
            known.
        blocks: effective number of independent windows behind it.
        basis: where it comes from.
        df: degrees of freedom of the statistic for independent rows; None when not known.
        differs: windows differ by more than their rows, surely or by more than was declared; True
            where that was not asked.
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
        """The smallest false-alarm rate that it can honour."""
        if self.basis == "windows":
            return 1 / (_PER_BLOCK * max(self.blocks, 1.0))
        return _DEEPEST

    def p_value(self, statistic: npt.ArrayLike) -> Floats:
        """How often a window without change has such a statistic, or a larger one."""
        with np.errstate(over="ignore"):  # infinitely unusual then
            ratio = np.asarray(statistic) / self.scale
        p: Floats = special.fdtrc(self.df1, self.df2, ratio)
        return p

    def threshold(self, level: float) -> float:
        """The statistic that is reached with probability `level`."""
        return self.scale / float(special.fdtri(self.df2, self.df1, level))

    def resized(self, size: float, df: float) -> "Null":
        """The law for windows of another size, by the law of variance components: what lies
        above the sampling part grows with the rows."""
        if self.df is None or not math.isfinite(df):
            return replace(self, size=size)
        excess = max(self.scale / self.df - 1, 0.0) * size / self.size
        return replace(self, size=size, scale=df * (1 + excess), df=df)

    def to_dict(self) -> dict[str, Any]:
        """As the table `calibration` holds it."""
        return dict(self.__dict__)
