"""Population stability index."""

from typing import ClassVar

import numpy as np

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.distance import Distance, shares
from driftline.profile.binning import Floats

_LEVEL = 4  # 16 bins; the convention is 10 to 20
_FLOOR = 1e-4  # used for a cell that is empty on one side


class Psi(Distance):
    """Population stability index: sum of (p - q) ln(p / q) over cells (Siddiqi 2006), not below 0.

    Over about 16 bins of equal mass, or over the categories.
    """

    name: ClassVar[str] = "psi"

    def distance(self, current: Counts, reference: Counts) -> Floats:
        """float64[m]."""
        p = np.maximum(shares(current.coarse(_LEVEL)), _FLOOR)
        q = np.maximum(shares(reference.coarse(_LEVEL)), _FLOOR)
        index: Floats = ((p - q) * np.log(p / q)).sum(axis=1)
        return index
