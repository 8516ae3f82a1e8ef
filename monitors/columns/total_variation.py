"""Total variation distance."""

from typing import ClassVar

import numpy as np

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.distance import Distance, shares
from driftline.profile.binning import Floats


class TotalVariation(Distance):
    """Half the sum of the differences of the cells' shares: the share of rows that moved."""

    name: ClassVar[str] = "total_variation"

    def distance(self, current: Counts, reference: Counts) -> Floats:
        """float64[m]."""
        gaps = shares(current.values) - shares(reference.values)
        distance: Floats = np.abs(gaps).sum(axis=1) / 2
        return distance
