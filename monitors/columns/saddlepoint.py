"""The law of a mean of n draws from cells, far into its tails."""

import numpy as np

from driftline.profile.binning import Floats

_STEPS = 60
_NEAR = 1e-4  # a draw's standard deviations; nearer to the centre, rounding outgrows the correction


def mean_score(means: Floats, n: Floats, shares: Floats, points: Floats) -> Floats:
    """Signed normal score of the mean of n independent draws.

    Lugannani and Rice (1980) in the form of Barndorff-Nielsen (1986): right for skewed columns
    and small n, where the central limit theorem is not.

    Args:
        means: float64[m], what was seen; NaN gives NaN.
        n: float64[m], how many draws.
        shares: float64[m, k], the chance of each cell; rows sum to 1.
        points: float64[k], the value of each cell.

    >>> shares, points = np.array([[0.5, 0.5]]), np.array([0.0, 1.0])
    >>> mean_score(np.array([0.6]), np.array([100.0]), shares, points).round(2)
    array([2.])
    """
    centre = shares @ points
    apart = points[None, :] - centre[:, None]
    spread = np.sqrt((shares * apart**2).sum(axis=1))
    spread = np.where(spread > 0, spread, 1.0)
    x = apart / spread[:, None]
    low, high = _possible(shares, x, n)
    seen = np.clip((means - centre) / spread, low, high)
    tilt, log_mgf, variance = _tilt(seen, shares, x)
    w = np.sign(tilt) * np.sqrt(np.maximum(2 * n * (tilt * seen - log_mgf), 0.0))
    u = tilt * np.sqrt(n * variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        corrected = w + np.log(u / w) / w
    # its limit there: Cornish and Fisher (1938)
    plain, skewness = seen * np.sqrt(n), (shares * x**3).sum(axis=1)
    limit = plain - skewness * (plain**2 - 1) / (6 * np.sqrt(n))
    usable = (np.abs(seen) > _NEAR) & np.isfinite(corrected)
    scored: Floats = np.where(np.isnan(means), np.nan, np.where(usable, corrected, limit))
    return scored


def _possible(shares: Floats, x: Floats, n: Floats) -> tuple[Floats, Floats]:
    """float64[m] each, the outermost means: half a row short of all rows in the outermost cell. A
    mean beyond, which the reference's cells cannot give, is taken as that."""
    there = shares > 0
    lowest = np.sort(np.where(there, x, np.inf), axis=1)[:, :2]
    highest = -np.sort(np.where(there, -x, np.inf), axis=1)[:, :2]
    with np.errstate(invalid="ignore"):
        low = lowest[:, 0] + np.nan_to_num(lowest[:, 1] - lowest[:, 0], posinf=0) / (2 * n)
        high = highest[:, 0] - np.nan_to_num(highest[:, 0] - highest[:, 1], posinf=0) / (2 * n)
    return low, np.maximum(high, low)


def _tilt(seen: Floats, shares: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
    """Where the tilted law has the mean that was seen: float64[m] each of the tilt, the log of the
    moment generating function and the variance there. Bisection holds Newton's steps."""
    span = 1 / np.maximum(np.abs(x).max(axis=1), 1e-12)
    low, high = -700 * span, 700 * span
    tilt = np.clip(seen, low, high)
    for _ in range(_STEPS):
        log_mgf, mean, variance = _tilted(tilt, shares, x)
        low, high = np.where(mean < seen, tilt, low), np.where(mean < seen, high, tilt)
        step = (seen - mean) / np.maximum(variance, 1e-12)
        moving = (np.abs(step) >= 1e-10) & (np.abs(seen - mean) > 1e-13)
        if not moving.any():
            break
        moved = tilt + step
        inside = (moved > low) & (moved < high)
        tilt = np.where(moving, np.where(inside, moved, (low + high) / 2), tilt)
    else:
        log_mgf, _, variance = _tilted(tilt, shares, x)
    return tilt, log_mgf, variance


def _tilted(tilt: Floats, shares: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
    exponent = tilt[:, None] * x
    largest = np.where(shares > 0, exponent, -np.inf).max(axis=1)
    weights = shares * np.exp(np.minimum(exponent - largest[:, None], 0.0))
    total = weights.sum(axis=1)
    weights = weights / total[:, None]
    mean = (weights * x).sum(axis=1)
    variance = (weights * (x - mean[:, None]) ** 2).sum(axis=1)
    return np.log(total) + largest, mean, variance
