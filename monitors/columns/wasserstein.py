"""Wasserstein distance of order 1."""

from typing import ClassVar

import numpy as np

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.distance import Distance, shares
from driftline.monitors.columns.monitor import NUMBERS
from driftline.profile.binning import Floats


class Wasserstein(Distance):
    """Earth mover's distance between the cells' mean values, in the column's unit.

    Values outside the frozen limits count as at the limit, so that one absurd value moves little.
    """

    name: ClassVar[str] = "wasserstein"
    kinds: ClassVar[frozenset[str]] = frozenset({NUMBERS})

    def distance(self, current: Counts, reference: Counts) -> Floats:
        """float64[m]."""
        points = reference.centres
        apart = np.cumsum(shares(current.values) - shares(reference.values), axis=1)[:, :-1]
        found: Floats = np.abs(apart) @ np.diff(points)
        return found
