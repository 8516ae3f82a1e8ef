"""How much windows vary beyond sampling noise, extrapolated to windows with more rows.

With few rows a statistic is mostly sampling noise; with more rows it is mostly the variation
between windows. A reference with sparse windows, such as a sample of the traffic, shows the ratio
of the two: Pearson's sum of squares has a known mean for independent rows, and its excess grows in
proportion to the rows (variance components). The excess has a standard error, so windows are
tested as if they had no more rows than the reference can calibrate.

Windows must not be merged to get more rows: that averages out the variation between hours.
"""

import math
from dataclasses import dataclass

from scipy import special

from driftline.monitors.calibration.autocorrelation import inflation
from driftline.monitors.calibration.null import MOSTLY_SAMPLING, Basis, NullDistribution, freedom
from driftline.profile.binning import Floats

_DOUBT = 1.645  # 5 %, in standard errors


@dataclass(frozen=True)
class Overdispersion:
    """The variation between windows in excess of sampling noise.

    Attributes:
        df: mean of the statistic for independent rows.
        per_row: increase of the statistic per row, in units of `df`; negative only by chance.
        error: its standard error.
        blocks: effective number of independent windows.
    """

    df: float
    per_row: float
    error: float
    blocks: float

    @classmethod
    def of(cls, squares: Floats, rows: Floats, df: float) -> "Overdispersion":
        """Estimate it from m windows, in order of time.

        Parameters:
            squares: see `monitors.columns.monitor.Dispersed`.
            rows: of each window.
            df: mean of the squares for independent rows.
        """
        blocks = max(len(squares) / inflation(squares), 1.0)
        mean_rows = float(rows.mean())
        per_row = (float(squares.mean()) / df - 1) / mean_rows
        error = float(squares.std(ddof=1)) / df / math.sqrt(blocks) / mean_rows
        return cls(df, per_row, error, blocks)

    def null(self, size: float, assumed: float) -> NullDistribution:
        """The null distribution for windows with `size` rows.

        The excess is a normal estimate of a quantity that is not negative, so a truncated normal;
        the denominator of F is chosen to have the same mean and variance.

        Parameters:
            size: rows.
            assumed: increase per row that the config assumes where the reference shows none.
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
        return NullDistribution(
            *(size, scale, freedom(self.df, scale), df2, self.blocks, basis, self.df),
            differs=bool(self.per_row > min(_DOUBT * self.error, assumed)),
        )


def _at_least_one(mean: float, error: float) -> tuple[float, float]:
    """Mean and variance of a normal distribution truncated below 1 (Johnson, Kotz and Balakrishnan
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
    if low > 8:  # far below 1 by chance: about exponential just above it
        return 1 + error / low, (error / low) ** 2
    hazard = math.exp(-(low**2) / 2) / math.sqrt(2 * math.pi) / float(special.ndtr(-low))
    return mean + error * hazard, error**2 * (1 + low * hazard - hazard**2)
