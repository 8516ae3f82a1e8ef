"""A binning without the latencies: they have objectives, and 9,000 cells no reference fills."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from driftline.profile.binning import Binning, Ints, LogBins
from driftline.profile.profile import Profile


class Trim(NamedTuple):
    """How profiles lose their latencies.

    Attributes:
        binning: without them.
        kept: int64[binning.size], the cells that stay, of the whole binning.
    """

    binning: Binning
    kept: Ints

    def profile(self, whole: Profile) -> Profile:
        """A profile without them."""
        return Profile(self.binning, whole.counts[self.kept], whole.sums)


@lru_cache(maxsize=1024)
def trim(whole: Binning) -> Trim:
    """The binning without latencies."""
    columns = tuple(bins for bins in whole.columns if not isinstance(bins, LogBins))
    plain = [np.arange(c.start, c.stop) for c in (whole.cells[b.name].plain for b in columns)]
    kept = np.concatenate([np.arange(whole.summed), *plain]).astype(np.int64)
    return Trim(Binning(columns), kept)
