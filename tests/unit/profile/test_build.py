"""What a binning freezes of a reference."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.profile import build
from driftline.profile.binning import CategoryBins, Floats, NumericBins

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def counts(bins: NumericBins, values: Floats) -> list[int]:
    found = np.searchsorted(np.array(bins.edges), values, side="right")
    return [int(n) for n in np.bincount(found, minlength=bins.bins + 2)]


def test_continuous_values_give_128_bins_of_equal_mass() -> None:
    values = np.random.default_rng(0).normal(size=12_800)
    bins = build.numeric("x", values)
    assert bins.bins == 128
    inside = counts(bins, values)[1:-1]
    assert max(inside) - min(inside) <= 1


def test_few_distinct_values_have_a_bin_each() -> None:
    values = np.repeat([0.0, 1.0, 2.0, 7.0], [500, 3, 200, 100])
    bins = build.numeric("x", values)
    assert counts(bins, values) == [0, 500, 3, 200, 100, 0]


def test_heavy_values_stay_alone_among_128_bins() -> None:
    random = np.random.default_rng(1)
    values = np.concatenate((np.zeros(9_000), random.exponential(size=1_000)))
    bins = build.numeric("precip", values)
    inside = counts(bins, values)
    assert 9_000 in inside
    assert bins.bins >= 128
    assert 9_000 in counts(bins.coarse(3), values)


def test_one_absurd_value_moves_no_edge_far() -> None:
    values = np.random.default_rng(2).normal(size=5_000)
    plain, spoilt = (build.numeric("x", v) for v in (values, np.append(values, 1e200)))
    assert np.abs(np.array(plain.edges[1:-1]) - spoilt.edges[1:-1]).max() < 0.1
    assert spoilt.edges[-1] == plain.edges[-1]
    assert counts(spoilt, np.array([1e200]))[-1] == 1


def test_a_column_that_is_nearly_always_zero_keeps_its_range() -> None:
    values = np.concatenate((np.zeros(99_900), np.linspace(1, 2, 100)))
    assert build.numeric("rare", values).top == 2.0


@pytest.mark.parametrize("values", [[], [np.nan], [np.inf, -np.inf], [1e308, -1e308]])
def test_a_reference_without_usable_numbers_still_has_cells(values: list[float]) -> None:
    bins = build.numeric("x", np.array(values))
    assert bins.bins == 1
    assert bins.top == 0.0


@given(st.lists(FINITE, max_size=50))
def test_edges_ascend_and_every_level_nests(values: list[float]) -> None:
    bins = build.numeric("x", np.array(values, dtype=np.float64))
    assert (np.diff(bins.edges) > 0).all()
    assert len(bins.levels) == bins.bins - 1
    for level in range(8):
        assert set(bins.coarse(level).edges) <= set(bins.coarse(level + 1).edges)
    assert bins.coarse(0).bins == 1
    assert bins.coarse(8) == bins


@given(st.integers(300, 3_000), st.floats(0, 0.95), st.integers(0, 2**32))
def test_many_distinct_values_give_at_least_128_bins(n: int, ties: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    values = np.where(random.random(n) < ties, random.integers(0, 3, n), random.normal(size=n))
    inside = np.unique(values[(values >= build.numeric("x", values).edges[0])])
    bins = build.numeric("x", values)
    assert bins.bins >= min(128, (inside <= bins.top).sum())


@given(st.integers(1, 7), st.integers(0, 2**32))
def test_a_level_has_bins_of_about_equal_mass(level: int, seed: int) -> None:
    values = np.random.default_rng(seed).gamma(2, size=4_096)
    bins = build.numeric("x", values).coarse(level)
    inside = counts(bins, values)[1:-1]
    assert bins.bins == 2**level
    assert max(inside) <= 4_096 / 2**level + 4_096 / 128


def test_the_commonest_texts_have_a_cell_and_the_rest_are_remembered() -> None:
    texts = [f"v{i:04}" for i in range(1_200) for _ in range(2 if i < 1_000 else 1)]
    bins = build.categorical("c", pa.chunked_array([texts]))
    assert bins.categories == tuple(f"v{i:04}" for i in range(1_000))
    assert bins.pooled == tuple(f"v{i:04}" for i in range(1_000, 1_200))


def test_too_many_texts_are_not_remembered() -> None:
    bins = build.categorical("id", pa.chunked_array([[str(i) for i in range(20_000)]]))
    assert len(bins.categories) == 1_000
    assert bins.pooled is None


def test_a_long_tail_shares_more_cells() -> None:
    few = build.categorical("c", pa.chunked_array([["a", "b"] * 2_000 + ["c"]]))
    many = build.categorical("c", pa.chunked_array([["a"] * 2_000 + ["b", "c", "d"]]))
    assert (few.hashed, many.hashed) == (build.FEW_HASHED, build.MANY_HASHED)


def test_dictionaries_nulls_and_the_empty_text_are_texts() -> None:
    column = pa.chunked_array([pa.array(["", "b", None, "b"]).dictionary_encode()])
    assert build.build_column("c", column) == CategoryBins("c", ("b", ""), (), build.MANY_HASHED)


def test_equal_references_give_equal_binnings() -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0], "c": ["b", "a", "b"], "f": [True, None, False]})
    assert build.build(table, [0, 0.5, 1]).id == build.build(table, [0, 0.5, 1]).id
