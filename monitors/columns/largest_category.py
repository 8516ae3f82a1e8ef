"""The category whose share changed most: finds one in hundreds, where an overall test is blind."""

from typing import ClassVar

import numpy as np
from scipy import special

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import TEXT, Comparison, moved, percent
from driftline.monitors.columns.omnibus import apart, pooled, rare_cells
from driftline.monitors.columns.rate import rate_z, score_of
from driftline.profile.binning import Floats

_TINY = 1e-300
_SURE = 0.05  # doubt with which one of all categories varies by itself
_GRID = np.geomspace(1e-5, 1, 200)  # where a threshold is looked for


class LargestCategory:
    """Change of the share of the category that stands out most, from -1 to 1.

    Rare categories are pooled into one. The smallest of k chances is judged k times itself.
    """

    name: ClassVar[str] = "largest_category"
    family: ClassVar[Family] = "drift"
    kinds: ClassVar[frozenset[str]] = frozenset({TEXT})
    alerts: ClassVar[bool] = True
    weight: ClassVar[float] = 1.0
    unit: ClassVar[str] = "share"
    varies: ClassVar[bool] = True

    def sizes(self, counts: Counts) -> Floats:
        """Rows with a value."""
        return counts.present

    def compare(self, current: Counts, reference: Counts) -> Comparison:
        """The smallest chance as a chi-squared score with one degree of freedom."""
        rows = float(current.present.mean()) if len(current) else 0.0
        now, before = pooled(current.values, reference.values, rows)
        z = _scores(now, before)
        largest = np.abs(z).argmax(axis=1)
        rest = np.arange(len(z))
        score = z[rest, largest]
        chance = np.minimum(2 * special.ndtr(-np.abs(score)) * z.shape[1], 1.0)
        far = chance < _TINY
        bonferroni = score**2 - 2 * np.log(z.shape[1])
        statistic = np.where(far, bonferroni, score_of(chance))
        with np.errstate(divide="ignore", invalid="ignore"):
            change = now / now.sum(axis=1, keepdims=True) - before / before.sum(
                axis=1, keepdims=True
            )
        value = change[rest, largest]
        return Comparison(
            value, np.zeros(len(value)), statistic, np.ones(len(value)), np.sign(value)
        )

    def dispersion(self, current: Counts, reference: Counts, rows: float) -> tuple[Floats, float]:
        """Of the category that surely varies most by itself; where none does, of all together."""
        now, before = pooled(current.values, reference.values, rows)
        squares = apart(now, before)
        shares = before / before.sum(axis=1, keepdims=True)
        # of one category alone, with a mean of 1; what the reference always has varies by nothing
        each = np.divide(squares, 1 - shares, out=np.zeros_like(squares), where=shares < 1)
        m, k = each.shape
        surely = np.nanmean(each, axis=0) - 1
        error = np.nanstd(each, axis=0) / np.sqrt(m)
        most = int(np.argmax(surely / np.maximum(error, _TINY)))
        if surely[most] > error[most] * float(special.ndtri(1 - _SURE / k)):
            return each[:, most], 1.0
        return squares.sum(axis=1) / (k - 1), 1.0

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The growth of the commonest category's share at which it would alarm; a rarer one needs
        less."""
        rows = float(current.present[0])
        now, before = pooled(current.values, reference.values, rows)
        z = -special.ndtri(special.ndtr(-np.sqrt(statistic)) / now.shape[1])
        common, known = before[0].max(), before[0].sum()
        shares = common / known + (1 - common / known) * _GRID
        scores = rate_z(rows * shares, np.array(rows), np.array(common), np.array(known))
        above = np.flatnonzero(scores >= z)
        return float(shares[above[0]] - common / known) if len(above) else None

    def describe(self, current: Counts, reference: Counts) -> str:
        """The category and its shares."""
        now, before = pooled(current.values, reference.values, float(current.present[0]))
        at = int(np.abs(_scores(now, before)[0]).argmax())
        name = _names(current, reference)[at]
        share, usual = now[0, at] / now.sum(), before[0, at] / before.sum()
        return f"{name} {moved(usual, share, percent)}"


def _names(current: Counts, reference: Counts) -> list[str]:
    """What the cells are that one window is compared by."""
    rare = rare_cells(reference.values, float(current.present[0]))
    there = (current.values[0] + reference.values[0]) > 0
    labels = [repr(label) for label in current.bins.labels()[: len(rare)]]
    own = [label for label, pools in zip(labels, rare, strict=True) if not pools]
    together = [label for label, one in zip(labels, rare & there, strict=True) if one]
    return [*own, together[0] if len(together) == 1 else f"all {len(together)} rare ones together"]


def _scores(now: Floats, before: Floats) -> Floats:
    return rate_z(now, now.sum(axis=1, keepdims=True), before, before.sum(axis=1, keepdims=True))
