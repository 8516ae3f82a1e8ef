"""A rank test whether two samples of numbers have the same distribution."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from driftline.profile.binning import Floats


class Ranks(NamedTuple):
    """The Mann-Whitney statistic.

    Attributes:
        auc: the probability that a value of the first sample is larger than one of the second.
        z: its distance from 1/2 in standard deviations of its null distribution; about normal.
    """

    auc: float
    z: float


def ranks(first: Floats, second: Floats) -> Ranks:
    """Compare two samples; ties count half.

    Source: Mann and Whitney, "On a test of whether one of two random variables is stochastically
    larger than the other", 1947; the variance with ties as in Lehmann, "Nonparametrics", 1975.
    """
    n, m = len(first), len(second)
    both = np.concatenate((first, second))
    ranked = stats.rankdata(both)
    auc = (float(ranked[:n].sum()) - n * (n + 1) / 2) / (n * m)
    _, ties = np.unique(both, return_counts=True)
    tied = float((ties.astype(np.float64) ** 3 - ties).sum()) / ((n + m) * (n + m - 1))
    variance = (n + m + 1 - tied) / (12 * n * m)
    return Ranks(auc, (auc - 0.5) / np.sqrt(variance) if variance > 0 else 0.0)
