"""Statistics of profiles against the exact ones of the raw rows: scipy's, and Evidently's.

A profile knows a value by its cell. What that can change: at most the share of the largest cell,
in a statistic from 0 to 1; nothing where each value has a cell of its own.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from driftline.monitors.columns.catalogue import MONITORS
from driftline.monitors.columns.counts import Counts
from driftline.profile.binning import Binning, NumericBins
from driftline.profile.build import build_column
from driftline.profile.recount import recount

Values = npt.NDArray[np.generic]
Numbers = npt.NDArray[np.float64]

SEEDS = st.integers(0, 2**32 - 1)
ROWS = st.integers(20, 3_000)
few_examples = settings(max_examples=60)


def numbers(seed: int, n: int, shift: float, scale: float, shape: str) -> Numbers:
    rng = np.random.default_rng(seed)
    drawn: dict[str, Numbers] = {
        "normal": rng.normal(size=n),
        "heavy": rng.standard_t(2, n),
        "skewed": rng.lognormal(size=n),
        "discrete": rng.poisson(4, n) * 1.0,
    }
    return drawn[shape] * scale + shift


NUMBERS = st.tuples(
    SEEDS,
    ROWS,
    st.sampled_from([0.0, 0.1, 0.5, 2.0]),
    st.sampled_from([1.0, 0.7, 1.5]),
    st.sampled_from(["normal", "heavy", "skewed", "discrete"]),
)
TEXTS = st.tuples(SEEDS, ROWS, st.integers(2, 200), st.sampled_from([0.0, 0.3, 1.0]))


def counts(current: Values, reference: Values) -> tuple[Counts, Counts]:
    """Both in the reference's cells."""
    column = pa.chunked_array([pa.array(reference)])
    binning = Binning((build_column("x", column),))
    first, second = (
        Counts.of(recount(pa.table({"x": pa.array(values)}), binning), "x")
        for values in (current, reference)
    )
    return first, second


def value(name: str, current: Counts, reference: Counts) -> float:
    return float(MONITORS[name].compare(current, reference).value[0])


def largest_cell(*both: Counts) -> float:
    """The largest share that the cells of more than one value hold, in either sample."""
    return float(max((one.values / one.present[:, None]).max() for one in both))


def inside(bins: NumericBins, values: Numbers) -> Numbers:
    """Clipped to the frozen limits."""
    clipped: Numbers = np.clip(values, bins.edges[0], bins.top)
    return clipped


def drawn_texts(seed: int, n: int, k: int, tilt: float) -> tuple[Values, Values]:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k))
    q = p * (1 + tilt * rng.uniform(-1, 1, k))
    names = np.array([f"c{i}" for i in range(k)])
    return rng.choice(names, n, p=q / q.sum()), rng.choice(names, 2 * n, p=p)


def table_of(current: Values, reference: Values) -> npt.NDArray[np.float64]:
    """Exact counts of the values that occur, float64[2, k]."""
    both = np.concatenate((current, reference))
    names = np.unique(both)
    return np.array([[(one == name).sum() for name in names] for one in (current, reference)]) * 1.0


@few_examples
@given(NUMBERS, SEEDS)
def test_kolmogorov_smirnov(drawn: tuple[int, int, float, float, str], seed: int) -> None:
    current = numbers(*drawn)
    reference = numbers(seed, 2_000, 0.0, 1.0, drawn[4])
    now, before = counts(current, reference)
    exact = stats.ks_2samp(current, reference).statistic
    found = value("kolmogorov_smirnov", now, before)
    assert found <= exact + 1e-12  # it looks at fewer places
    assert exact - found <= largest_cell(now, before) + 1e-12


@few_examples
@given(NUMBERS, SEEDS)
def test_wasserstein(drawn: tuple[int, int, float, float, str], seed: int) -> None:
    """In units of the range, of values clipped to the limits."""
    current = numbers(*drawn)
    reference = numbers(seed, 2_000, 0.0, 1.0, drawn[4])
    now, before = counts(current, reference)
    assert isinstance(now.bins, NumericBins)
    exact = stats.wasserstein_distance(inside(now.bins, current), inside(now.bins, reference))
    width = now.bins.top - now.bins.edges[0]
    found = value("wasserstein", now, before)
    assert abs(found - exact) / width <= largest_cell(now, before) + 1e-6


@few_examples
@given(NUMBERS, SEEDS)
def test_distances_of_numbers_are_exact_on_their_cells_and_never_more_than_the_raw_ones(
    drawn: tuple[int, int, float, float, str], seed: int
) -> None:
    current = numbers(*drawn)
    reference = numbers(seed, 2_000, 0.0, 1.0, drawn[4])
    now, before = counts(current, reference)
    assert isinstance(now.bins, NumericBins)
    edges = [-np.inf, *now.bins.edges, np.inf]
    p, q = (np.histogram(one, edges)[0] / len(one) for one in (current, reference))
    assert value("total_variation", now, before) == pytest.approx(np.abs(p - q).sum() / 2)
    assert value("jensen_shannon", now, before) == pytest.approx(
        distance.jensenshannon(p, q, base=2), abs=1e-7
    )
    assert value("hellinger", now, before) == pytest.approx(
        np.sqrt(max(1 - np.sqrt(p * q).sum(), 0)), abs=1e-7
    )
    if drawn[4] == "discrete" and drawn[2:4] == (0.0, 1.0):
        raw = table_of(current, reference)
        raw /= raw.sum(axis=1, keepdims=True)
        exact = np.abs(raw[0] - raw[1]).sum() / 2
        assert value("total_variation", now, before) <= exact + 1e-12
        assert exact - value("total_variation", now, before) <= largest_cell(now, before)


@few_examples
@given(TEXTS)
def test_distances_of_texts_are_exact(drawn: tuple[int, int, int, float]) -> None:
    current, reference = drawn_texts(*drawn)
    known = np.isin(current, reference)
    current = current[known] if known.any() else reference[:20]
    now, before = counts(current, reference)
    raw = table_of(current, reference)
    p, q = raw / raw.sum(axis=1, keepdims=True)
    assert value("total_variation", now, before) == pytest.approx(np.abs(p - q).sum() / 2)
    assert value("jensen_shannon", now, before) == pytest.approx(
        distance.jensenshannon(p, q, base=2), abs=1e-7
    )
    assert value("hellinger", now, before) == pytest.approx(
        np.sqrt(max(1 - np.sqrt(p * q).sum(), 0)), abs=1e-7
    )


@few_examples
@given(TEXTS)
def test_chi_squared_and_g_of_texts(drawn: tuple[int, int, int, float]) -> None:
    """With few texts nothing is pooled: the very statistic of a 2 x k table."""
    seed, n, k, tilt = drawn
    current, reference = drawn_texts(seed, n + 500, min(k, 5), tilt)
    raw = table_of(current, reference)
    if raw.shape[1] < 2 or stats.contingency.expected_freq(raw).min() < 20:
        return
    now, before = counts(current, reference)
    exact = stats.chi2_contingency(raw, correction=False)
    found = MONITORS["chi_squared"].compare(now, before)
    assert found.statistic[0] == pytest.approx(exact.statistic, rel=1e-6, abs=1e-6)
    assert found.df[0] == exact.dof


@few_examples
@given(NUMBERS, SEEDS)
def test_psi_is_its_definition_on_16_bins(
    drawn: tuple[int, int, float, float, str], seed: int
) -> None:
    current = numbers(*drawn)
    reference = numbers(seed, 2_000, 0.0, 1.0, drawn[4])
    now, before = counts(current, reference)
    p, q = (np.maximum(one.coarse(4)[0] / one.present[0], 1e-4) for one in (now, before))
    assert value("psi", now, before) == pytest.approx(((p - q) * np.log(p / q)).sum())


def test_evidently_on_texts_gives_the_same_distances() -> None:
    """Its bins of texts are the texts, so both must agree; of numbers it makes bins anew."""
    from evidently.legacy.calculations.stattests import (  # type: ignore[import-not-found, unused-ignore]
        jensenshannon_stat_test,
    )
    from evidently.legacy.core import ColumnType

    for seed in range(5):
        current, reference = drawn_texts(seed, 2_000, 12, 0.5)
        now, before = counts(current, reference)
        theirs = jensenshannon_stat_test.func(
            pd.Series(reference), pd.Series(current), ColumnType.Categorical, 0.1
        )[0]
        ours = value("jensen_shannon", now, before) * np.sqrt(np.log(2))  # theirs is in nats
        assert ours == pytest.approx(theirs, abs=1e-6)
