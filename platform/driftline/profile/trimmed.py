"""A binning without the latencies: they have objectives, and 9,000 cells empty in references."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from driftline.profile.binning import Binning, Ints, LogBins
from driftline.profile.profile import Profile


class Trim(NamedTuple):
    """Removes the latencies from profiles.

    Attributes:
        binning: without the latencies.
        cells: int64[binning.size], the remaining cells of the full binning.
    """

    binning: Binning
    cells: Ints

    def profile(self, whole: Profile) -> Profile:
        """The profile without the latencies."""
        return Profile(self.binning, whole.counts[self.cells], whole.sums)


@lru_cache(maxsize=1024)
def trim(whole: Binning) -> Trim:
    """The binning without latencies."""
    columns = tuple(bins for bins in whole.columns if not isinstance(bins, LogBins))
    plain = [np.arange(c.start, c.stop) for c in (whole.cells[b.name].plain for b in columns)]
    cells = np.concatenate([np.arange(whole.summed), *plain]).astype(np.int64)
    return Trim(Binning(columns), cells)
