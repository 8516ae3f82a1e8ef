"""Hellinger distance."""

from typing import ClassVar

import numpy as np

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.distance import Distance, shares
from driftline.profile.binning import Floats


class Hellinger(Distance):
    """Hellinger distance of the cells' shares, from 0 to 1."""

    name: ClassVar[str] = "hellinger"

    def distance(self, current: Counts, reference: Counts) -> Floats:
        """float64[m]."""
        p, q = shares(current.values), shares(reference.values)
        affinity = np.sqrt(p * q).sum(axis=1)
        distance: Floats = np.sqrt(np.maximum(1 - affinity, 0.0))
        return distance
