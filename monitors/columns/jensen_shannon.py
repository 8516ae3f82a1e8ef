"""Jensen-Shannon distance."""

from typing import ClassVar

import numpy as np
from scipy import special

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.distance import Distance, shares
from driftline.profile.binning import Floats


class JensenShannon(Distance):
    """Square root of the Jensen-Shannon divergence with base 2, from 0 to 1 (Lin 1991)."""

    name: ClassVar[str] = "jensen_shannon"

    def distance(self, current: Counts, reference: Counts) -> Floats:
        """float64[m]."""
        p, q = shares(current.values), shares(reference.values)
        middle = (p + q) / 2
        divergence = (special.rel_entr(p, middle) + special.rel_entr(q, middle)).sum(axis=1) / 2
        distance: Floats = np.sqrt(np.maximum(divergence, 0.0) / np.log(2))
        return distance
