"""Unexpected values: unseen categories, numbers outside the reference's limits, NaN, infinities."""

from typing import ClassVar

import numpy as np

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import NUMBER, REMEMBERED, Comparison
from driftline.monitors.columns.rate import Rate
from driftline.profile.binning import CategoryBins, Floats

_WORTH = 0.5  # of the rows of a reference, so many tell what the number of texts seen once does


class Unexpected(Rate):
    """Share of rows whose value the reference hardly knows, from 0 to 1.

    Numbers: below or above the limits that are frozen with the bins, NaN or infinite (what could
    not be read as the declared type was rejected before). Texts: values that the reference lacks;
    as many are usual as its texts that occur once let expect (Good 1953). Their number varies more
    than that of rows, by the texts that occur twice (Esty 1983): it counts as of half the rows.
    """

    name: ClassVar[str] = "unexpected"
    kinds: ClassVar[frozenset[str]] = frozenset({NUMBER, REMEMBERED})
    what: ClassVar[str] = "values unseen in the reference, out of its range or not finite"

    def hits(self, counts: Counts) -> Floats:
        """Rows with such a value."""
        return counts.unexpected

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """The normal score of the share, squared: chi-squared with one degree of freedom."""
        return super().compare(current, _of_fewer_rows(reference))

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The share from which on it would alarm; None when even every row is not enough."""
        return super().value_at(statistic, current, _of_fewer_rows(reference))


def _of_fewer_rows(reference: Counts) -> Counts:
    if not isinstance(reference.bins, CategoryBins):
        return reference
    return reference.scaled(np.full(len(reference), _WORTH))
