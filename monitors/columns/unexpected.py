"""Unexpected values: unseen categories, numbers outside the reference's limits, NaN, infinities."""

from typing import ClassVar

import numpy as np

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import NUMBER, REMEMBERED, Comparison
from driftline.monitors.columns.rate import Rate
from driftline.profile.binning import CategoryBins, Floats

_EFFECTIVE = 0.5  # part of a reference's rows that estimates as precisely as texts seen once


class Unexpected(Rate):
    """Share of rows whose value is not, or hardly, in the reference, from 0 to 1.

    Numbers: below or above the limits that are frozen with the bins, NaN or infinite (values that
    are not of the declared type were rejected before). Texts: values unseen in the reference; their
    expected share is estimated from the texts seen once (Good 1953). That estimate varies more than
    a share of rows, by the texts seen twice (Esty 1983), so it counts as one of half the rows.
    """

    name: ClassVar[str] = "unexpected"
    kinds: ClassVar[frozenset[str]] = frozenset({NUMBER, REMEMBERED})
    flaw: ClassVar[str] = "values unseen in the reference, out of its range or not finite"

    def hits(self, counts: Counts) -> Floats:
        """Rows with such a value."""
        return counts.unexpected

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """The normal score of the share, squared: chi-squared with 1 degree of freedom."""
        return super().compare(current, _of_fewer_rows(reference))

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The smallest share that alarms; None when not even all rows are enough."""
        return super().value_at(statistic, current, _of_fewer_rows(reference))


def _of_fewer_rows(reference: Counts) -> Counts:
    if not isinstance(reference.bins, CategoryBins):
        return reference
    return reference.scaled(np.full(len(reference), _EFFECTIVE))
