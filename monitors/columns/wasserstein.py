"""Wasserstein distance of order 1."""

from typing import ClassVar

import numpy as np

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.distance import Distance, shares
from driftline.monitors.columns.monitor import NUMBERS
from driftline.profile.binning import Floats


class Wasserstein(Distance):
    """Earth mover's distance between the cells' mean values, in the column's unit.

    Values are clipped to the frozen limits, so that one extreme value has little effect.
    """

    name: ClassVar[str] = "wasserstein"
    kinds: ClassVar[frozenset[str]] = frozenset({NUMBERS})

    def distance(self, current: Counts, reference: Counts) -> Floats:
        """float64[m]."""
        points = reference.centres
        gaps = np.cumsum(shares(current.values) - shares(reference.values), axis=1)[:, :-1]
        distance: Floats = np.abs(gaps) @ np.diff(points)
        return distance
