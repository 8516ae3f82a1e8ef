"""The share of rows without a value."""

from typing import ClassVar

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import ALL
from driftline.monitors.columns.rate import Rate
from driftline.profile.binning import Floats


class Missing(Rate):
    """Share of rows without a value, from 0 to 1."""

    name: ClassVar[str] = "missing"
    kinds: ClassVar[frozenset[str]] = ALL
    flaw: ClassVar[str] = "missing values"

    def hits(self, counts: Counts) -> Floats:
        """Rows without a value."""
        return counts.missing
