"""Unexpected values: unseen categories, numbers outside the reference's limits, NaN, infinities."""

from typing import ClassVar

from driftline.profile.binning import Floats
from monitors.columns.counts import Counts
from monitors.columns.rate import Rate


class Unexpected(Rate):
    """Share of rows whose value the reference hardly knows, from 0 to 1.

    Numbers: below or above the limits that are frozen with the bins, NaN or infinite (what could
    not be read as the declared type was rejected before). Texts: values that the reference lacks.
    """

    name: ClassVar[str] = "unexpected"
    kinds: ClassVar[frozenset[str]] = frozenset({"numeric", "category"})
    what: ClassVar[str] = "values unseen in the reference, out of its range or not finite"

    def hits(self, counts: Counts) -> Floats:
        """Rows with such a value."""
        return counts.unexpected
