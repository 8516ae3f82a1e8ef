"""How much windows differ beyond what their rows explain, and so how much larger ones would.

A statistic of few rows is mostly their sampling noise; of more rows it is mostly what windows
differ by themselves. A reference with sparse windows, such as a sample of the traffic, says how
the two are mixed: Pearson's sum of squares has a known mean for independent rows, and what exceeds
it grows with the rows (the law of variance components). How well that is known is known too, so
windows are judged at no more rows than the reference can speak of.

Windows must not be added up to get more rows: that averages out what hours differ by.
"""

import math
from dataclasses import dataclass

from scipy import special

from driftline.monitors.calibration.autocorrelation import inflation
from driftline.monitors.calibration.null import MOSTLY_SAMPLING, Basis, Null, freedom
from driftline.profile.binning import Floats

_DOUBT = 1.645  # 5 %, in standard errors


@dataclass(frozen=True)
class Excess:
    """What windows differ by, beyond their rows.

    Attributes:
        df: mean of the statistic for independent rows.
        per_row: what a row adds to the statistic, in `df`; negative by chance only.
        error: its standard error.
        blocks: effective number of independent windows.
    """

    df: float
    per_row: float
    error: float
    blocks: float

    @classmethod
    def of(cls, squares: Floats, rows: Floats, df: float) -> "Excess":
        """From m windows, in order of time.

        Args:
            squares: see `monitors.columns.monitor.Dispersed`.
            rows: of each window.
            df: mean of the squares for independent rows.
        """
        blocks = max(len(squares) / inflation(squares), 1.0)
        mean_rows = float(rows.mean())
        per_row = (float(squares.mean()) / df - 1) / mean_rows
        error = float(squares.std(ddof=1)) / df / math.sqrt(blocks) / mean_rows
        return cls(df, per_row, error, blocks)

    def null(self, size: float, declared: float) -> Null:
        """The law for windows of some rows.

        How much windows differ has the normal law of an estimate that is known not to be negative;
        F has a factor of the same mean and variance.

        Args:
            size: the rows.
            declared: what a row adds where the reference does not show it, by the config.
        """
        ratio, error = 1 + self.per_row * size, self.error * size
        mean, variance = _at_least_one(ratio, error)
        df2 = self.blocks
        if variance > 0:
            df2 = min(df2, 4 + 2 * mean**2 / variance)
            mean *= (df2 - 2) / df2
        scale = self.df * max(mean, 1.0)
        sampling = max(ratio, 1.0) + _DOUBT * error <= MOSTLY_SAMPLING
        basis: Basis = "sampling" if sampling else "windows"
        return Null(
            *(size, scale, freedom(self.df, scale), df2, self.blocks, basis, self.df),
            differs=bool(self.per_row > min(_DOUBT * self.error, declared)),
        )


def _at_least_one(mean: float, error: float) -> tuple[float, float]:
    """Mean and variance of a normal law that is cut off below 1 (Johnson, Kotz and Balakrishnan
    1994, section 13.10.1).

    >>> _at_least_one(1.0, 0.0)
    (1.0, 0.0)
    >>> m, v = _at_least_one(1.0, 1.0)
    >>> round(m, 3), round(v, 3)
    (1.798, 0.363)
    """
    if error <= 0:
        return max(mean, 1.0), 0.0
    low = (1 - mean) / error
    if low > 8:  # far below one by chance: an exponential law just above it
        return 1 + error / low, (error / low) ** 2
    hazard = math.exp(-(low**2) / 2) / math.sqrt(2 * math.pi) / float(special.ndtr(-low))
    return mean + error * hazard, error**2 * (1 + low * hazard - hazard**2)
