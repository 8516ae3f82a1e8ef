"""The category whose share changed most: detects one of hundreds, where an omnibus test cannot."""

from typing import ClassVar

import numpy as np
from scipy import special

from driftline.config.monitors import Family
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import TEXT, Comparison, moved, percent
from driftline.monitors.columns.omnibus import pooled, rare_cells, squared_residuals
from driftline.monitors.columns.rate import rate_z, score_of
from driftline.profile.binning import Floats

_TINY = 1e-300
_VARIES_ALPHA = 0.05  # of the test whether one category varies between windows
_GRID = np.geomspace(1e-5, 1, 200)  # searched for a threshold


class LargestCategory:
    """Change of the share of the category that stands out most, from -1 to 1.

    Rare categories are pooled into one. The smallest of k p-values counts k times (Bonferroni).
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
        """The smallest p-value as a chi-squared score with 1 degree of freedom."""
        rows = float(current.present.mean()) if len(current) else 0.0
        observed, base = pooled(current.values, reference.values, rows)
        z = _scores(observed, base)
        largest = np.abs(z).argmax(axis=1)
        windows = np.arange(len(z))
        score = z[windows, largest]
        p = np.minimum(2 * special.ndtr(-np.abs(score)) * z.shape[1], 1.0)
        far = p < _TINY
        bonferroni = score**2 - 2 * np.log(z.shape[1])
        statistic = np.where(far, bonferroni, score_of(p))
        with np.errstate(divide="ignore", invalid="ignore"):
            change = observed / observed.sum(axis=1, keepdims=True) - base / base.sum(
                axis=1, keepdims=True
            )
        value = change[windows, largest]
        return Comparison(
            value, np.zeros(len(value)), statistic, np.ones(len(value)), np.sign(value)
        )

    def dispersion(self, current: Counts, reference: Counts, rows: float) -> tuple[Floats, float]:
        """Of the category that varies most significantly; if none does, of all together."""
        observed, base = pooled(current.values, reference.values, rows)
        squares = squared_residuals(observed, base)
        shares = base / base.sum(axis=1, keepdims=True)
        # per category, with a mean of 1; a category with a share of 1 does not vary
        each = np.divide(squares, 1 - shares, out=np.zeros_like(squares), where=shares < 1)
        m, k = each.shape
        excess = np.nanmean(each, axis=0) - 1
        error = np.nanstd(each, axis=0) / np.sqrt(m)
        most = int(np.argmax(excess / np.maximum(error, _TINY)))
        if excess[most] > error[most] * float(special.ndtri(1 - _VARIES_ALPHA / k)):
            return each[:, most], 1.0
        return squares.sum(axis=1) / (k - 1), 1.0

    def value_at(self, statistic: float, current: Counts, reference: Counts) -> float | None:
        """The increase of the most frequent category's share at which it would alarm; a rarer one
        needs less."""
        rows = float(current.present[0])
        observed, base = pooled(current.values, reference.values, rows)
        z = -special.ndtri(special.ndtr(-np.sqrt(statistic)) / observed.shape[1])
        common, total = base[0].max(), base[0].sum()
        shares = common / total + (1 - common / total) * _GRID
        scores = rate_z(rows * shares, np.array(rows), np.array(common), np.array(total))
        above = np.flatnonzero(scores >= z)
        return float(shares[above[0]] - common / total) if len(above) else None

    def describe(self, current: Counts, reference: Counts) -> str:
        """The category and its shares."""
        observed, base = pooled(current.values, reference.values, float(current.present[0]))
        at = int(np.abs(_scores(observed, base)[0]).argmax())
        name = _names(current, reference)[at]
        share, expected = observed[0, at] / observed.sum(), base[0, at] / base.sum()
        return f"{name} {moved(expected, share, percent)}"


def _names(current: Counts, reference: Counts) -> list[str]:
    """The names of the cells in which one window is compared."""
    rare = rare_cells(reference.values, float(current.present[0]))
    occurs = (current.values[0] + reference.values[0]) > 0
    labels = [repr(label) for label in current.bins.labels()[: len(rare)]]
    separate = [label for label, is_rare in zip(labels, rare, strict=True) if not is_rare]
    rare_labels = [labels[i] for i in np.flatnonzero(rare & occurs)]
    last = rare_labels[0] if len(rare_labels) == 1 else f"all {len(rare_labels)} rare values"
    return [*separate, last]


def _scores(observed: Floats, base: Floats) -> Floats:
    rows, base_rows = observed.sum(axis=1, keepdims=True), base.sum(axis=1, keepdims=True)
    return rate_z(observed, rows, base, base_rows)
