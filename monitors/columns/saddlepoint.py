"""Saddlepoint approximation of the distribution of a mean of n draws from cells."""

import numpy as np

from driftline.profile.binning import Floats

_STEPS = 60
_NEAR = 1e-4  # of a draw's standard deviation; nearer to the centre rounding errors dominate


def mean_score(means: Floats, n: Floats, shares: Floats, points: Floats) -> Floats:
    """Signed normal score of the mean of n independent draws.

    Lugannani and Rice (1980) in the form of Barndorff-Nielsen (1986): accurate for skewed columns
    and small n, where the normal approximation is not.

    Parameters:
        means: float64[m], the observed means; NaN gives NaN.
        n: float64[m], the number of draws.
        shares: float64[m, k], the probability of each cell; rows sum to 1.
        points: float64[k], the value of each cell.

    >>> shares, points = np.array([[0.5, 0.5]]), np.array([0.0, 1.0])
    >>> mean_score(np.array([0.6]), np.array([100.0]), shares, points).round(2)
    array([2.])
    """
    centre = shares @ points
    deviations = points[None, :] - centre[:, None]
    spread = np.sqrt((shares * deviations**2).sum(axis=1))
    spread = np.where(spread > 0, spread, 1.0)
    x = deviations / spread[:, None]
    low, high = _limits(shares, x, n)
    observed = np.clip((means - centre) / spread, low, high)
    tilt, log_mgf, variance = _tilt(observed, shares, x)
    w = np.sign(tilt) * np.sqrt(np.maximum(2 * n * (tilt * observed - log_mgf), 0.0))
    u = tilt * np.sqrt(n * variance)
    with np.errstate(divide="ignore", invalid="ignore"):
        corrected = w + np.log(u / w) / w
    # the limit near the centre: Cornish and Fisher (1938)
    plain, skewness = observed * np.sqrt(n), (shares * x**3).sum(axis=1)
    limit = plain - skewness * (plain**2 - 1) / (6 * np.sqrt(n))
    usable = (np.abs(observed) > _NEAR) & np.isfinite(corrected)
    scored: Floats = np.where(np.isnan(means), np.nan, np.where(usable, corrected, limit))
    return scored


def _limits(shares: Floats, x: Floats, n: Floats) -> tuple[Floats, Floats]:
    """float64[m] each, the lowest and highest usable mean: half a row short of all rows in the
    outermost cell. A mean beyond, impossible with the reference's cells, is clipped to them."""
    occupied = shares > 0
    lowest = np.sort(np.where(occupied, x, np.inf), axis=1)[:, :2]
    highest = -np.sort(np.where(occupied, -x, np.inf), axis=1)[:, :2]
    with np.errstate(invalid="ignore"):
        low = lowest[:, 0] + np.nan_to_num(lowest[:, 1] - lowest[:, 0], posinf=0) / (2 * n)
        high = highest[:, 0] - np.nan_to_num(highest[:, 0] - highest[:, 1], posinf=0) / (2 * n)
    return low, np.maximum(high, low)


def _tilt(observed: Floats, shares: Floats, x: Floats) -> tuple[Floats, Floats, Floats]:
    """float64[m] each: the tilt at which the tilted distribution has the observed mean, and the log
    moment generating function and the variance there. Newton steps, bounded by bisection."""
    span = 1 / np.maximum(np.abs(x).max(axis=1), 1e-12)
    low, high = -700 * span, 700 * span
    tilt = np.clip(observed, low, high)
    for _ in range(_STEPS):
        log_mgf, mean, variance = _tilted(tilt, shares, x)
        low, high = np.where(mean < observed, tilt, low), np.where(mean < observed, high, tilt)
        step = (observed - mean) / np.maximum(variance, 1e-12)
        moving = (np.abs(step) >= 1e-10) & (np.abs(observed - mean) > 1e-13)
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
