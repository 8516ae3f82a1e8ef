"""How strongly consecutive windows are correlated."""

import numpy as np

from driftline.profile.binning import Floats


def inflation(series: Floats) -> float:
    """Long-run variance over variance: 1 + twice the sum of autocorrelations.

    Summed up to the first pair that is not positive: Geyer's (1992) initial positive sequence.
    """
    finite = np.isfinite(series)
    if len(series) < 4 or not finite.any():
        return 1.0
    series = np.where(finite, series - series[finite].mean(), 0.0)
    energy = float(series @ series)
    if energy == 0:
        return 1.0
    spectrum = np.fft.rfft(series, 2 * len(series))
    rho = np.fft.irfft(spectrum * spectrum.conj())[: len(series) // 2] / energy
    pairs = rho[1 : len(rho) - len(rho[1:]) % 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    return float(1 + 2 * pairs[: ends[0] if len(ends) else len(pairs)].sum())
