"""G on cells that are rare in a window: they are pooled, but never with all the rest."""

import numpy as np
import pytest
from scipy import stats

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.omnibus import Omnibus
from driftline.profile.binning import BoolBins, CategoryBins, ColumnBins, Floats

LEVEL = 1e-3
MANY = 50_000
SHARES = [(0.5, 0.5), (0.98, 0.02), (0.998, 0.002), (1.0, 0.0), (0.98, 0.01, 0.01)]


def counts(values: Floats) -> Counts:
    """Of m windows, float64[m, k], that lack no value."""
    m, k = values.shape
    bins: ColumnBins = BoolBins("b")
    cells = [values, np.zeros((m, 1))]
    if k > 2:
        bins = CategoryBins("b", tuple("abcdefgh"[:k]))
        cells.insert(1, np.zeros((m, 2)))
    return Counts(bins, np.concatenate(cells, axis=1), np.zeros((m, 0)))


@pytest.mark.parametrize("rows", [50, 300, 2_000])
@pytest.mark.parametrize("shares", SHARES)
def test_false_alarms(shares: tuple[float, ...], rows: int) -> None:
    rng = np.random.default_rng(0)
    now = counts(rng.multinomial(rows, shares, MANY).astype(np.float64))
    base = counts(rng.multinomial(10_000, shares, MANY).astype(np.float64))
    result = Omnibus().compare(now, base)
    alarms = (stats.chi2.sf(result.statistic, result.df) <= LEVEL).sum()
    assert alarms <= stats.binom.isf(1e-4, MANY, 1.3 * LEVEL)


@pytest.mark.parametrize("rows", [50, 300, 2_000])
@pytest.mark.parametrize("shares", SHARES)
def test_a_rare_value_that_becomes_the_only_one_is_found(
    shares: tuple[float, ...], rows: int
) -> None:
    """Whatever its share was, so that a bool that was always true can't become false unseen."""
    now = np.zeros((1, len(shares)))
    now[0, -1] = rows
    result = Omnibus().compare(counts(now), counts(1e4 * np.array([shares])))
    assert stats.chi2.sf(result.statistic, result.df) < 1e-9
