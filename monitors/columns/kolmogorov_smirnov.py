"""Kolmogorov-Smirnov statistic."""

from typing import ClassVar

import numpy as np

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.distance import Distance, shares
from driftline.monitors.columns.monitor import NUMBERS
from driftline.profile.binning import Floats


class KolmogorovSmirnov(Distance):
    """Largest difference between the two cumulative distributions, from 0 to 1.

    Between bin edges it can be underestimated by at most the largest cell's share.
    """

    name: ClassVar[str] = "kolmogorov_smirnov"
    kinds: ClassVar[frozenset[str]] = frozenset({NUMBERS})

    def distance(self, current: Counts, reference: Counts) -> Floats:
        """float64[m]."""
        gaps = np.cumsum(shares(current.values) - shares(reference.values), axis=1)
        distance: Floats = np.abs(gaps).max(axis=1)
        return distance
