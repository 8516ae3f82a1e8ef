"""Statistics read from cells against those of the rows."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import SchemaError
from driftline.profile import build
from driftline.profile.binning import Binning, BoolBins, Floats
from driftline.profile.profile import ColumnProfile, Profile
from driftline.profile.recount import recount, reference
from tests.unit.profile.tables import BATCHES, FEATURES
from tests.unit.profile.tables import reference as rows_like_the_reference

ROWS = rows_like_the_reference()
TABLE = pa.Table.from_batches([ROWS])
BINNING = build.build(TABLE.select(FEATURES), ROWS.column("score").to_numpy())


def profile_of(values: list[float] | Floats) -> ColumnProfile:
    table = pa.table({"x": pa.array(values, pa.float64())})
    binning = build.build(table, np.zeros(len(table)))
    return recount(table, binning).column("x")


@given(st.lists(BATCHES, min_size=3, max_size=3))
def test_add_is_associative_and_packs_to_the_same_bytes(batches: list[pa.RecordBatch]) -> None:
    a, b, c = (recount(rows, BINNING) for rows in batches)
    assert (a + b) + c == a + (b + c)
    assert Profile.of(BINNING, a.pack(), b.pack(), c.pack()) == a + b + c
    assert Profile.of(BINNING) + a == a
    assert a.rows == batches[0].num_rows


@given(BATCHES)
def test_every_row_is_in_one_cell_of_each_column(rows: pa.RecordBatch) -> None:
    profile = recount(rows, BINNING)
    for bins in BINNING.columns:
        column = profile.column(bins.name)
        assert column.rows == rows.num_rows
        assert column.missing == rows.column(bins.name).null_count
        assert column.values.sum() == column.rows - column.missing - column.invalid
        assert len(column.counts) == len(bins.labels())


@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=60))
def test_the_mean_is_that_of_the_clipped_values(values: list[float]) -> None:
    column = profile_of(values)
    low, high = column.bins.edges[0], column.bins.top  # type: ignore[union-attr]
    step = (high - low) / 2**24
    assert column.mean() == pytest.approx(np.clip(values, low, high).mean(), abs=step + 1e-9)


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_a_quantile_is_in_the_cell_that_holds_it(seed: int, q: float) -> None:
    values = np.random.default_rng(seed).normal(size=3_000)
    column = profile_of(values)
    exact = np.quantile(values, q, method="inverted_cdf")
    edges = np.array(column.bins.edges)  # type: ignore[union-attr]
    found = np.array([column.quantile(q), float(exact)])
    cells = np.searchsorted(edges, found, side="right")
    assert cells[0] == cells[1]


def test_quantiles_of_few_distinct_values_are_exact() -> None:
    column = profile_of([1.0] * 50 + [2.0] * 30 + [9.0] * 20)
    assert [column.quantile(q) for q in (0, 0.5, 0.6, 0.95, 1)] == pytest.approx([1, 1, 2, 9, 9])


def test_latency_quantiles_are_within_one_percent() -> None:
    exact = np.random.default_rng(3).gamma(2, 20, 50_000)
    column = recount(pa.table({"lag_ms": exact}), BINNING).column("lag_ms")
    for q in (0.5, 0.95, 0.99):
        assert column.quantile(q) == pytest.approx(np.quantile(exact, q), rel=0.01)
    assert column.mean() == pytest.approx(exact.mean(), rel=0.005)


def test_values_outside_are_counted_apart_and_clipped() -> None:
    binning = build.build(pa.table({"x": np.linspace(0, 10, 1_000)}), np.zeros(1_000))
    rows = pa.table({"x": [-1e300, 5.0, 1e308, np.nan, None, np.inf]})
    column = recount(rows, binning).column("x")
    assert (column.below, column.above, column.invalid, column.missing) == (1, 1, 2, 1)
    assert column.mean() == pytest.approx(5.0, abs=1e-5)


def test_no_values_have_no_mean() -> None:
    column = Profile.of(BINNING).column("x")
    assert np.isnan(column.mean())
    assert np.isnan(column.quantile(0.5))


@given(BATCHES, st.integers(0, 8))
def test_coarsening_equals_counting_in_coarse_bins(rows: pa.RecordBatch, level: int) -> None:
    column = recount(rows, BINNING).column("x").coarse(level)
    coarse = Binning((BINNING.by_name["x"].coarse(level),))  # type: ignore[union-attr]
    directly = recount(rows, coarse).column("x")
    assert column.counts.tolist() == directly.counts.tolist()
    assert column.sums == pytest.approx(directly.sums, abs=1e-3)


def test_texts_and_bools_do_not_coarsen() -> None:
    column = recount(TABLE, BINNING).column("c")
    assert column.coarse(2) is column


def test_a_reference_has_no_latencies() -> None:
    scores = ROWS.column("score").to_numpy()
    profile = reference(TABLE.select(FEATURES), scores, BINNING)
    assert profile.rows == len(TABLE)
    assert profile.column("lag_ms").rows == 0


def test_wrong_questions_are_refused() -> None:
    profile = Profile.of(BINNING)
    with pytest.raises(SchemaError, match="column 'c' is category: it has no numbers"):
        profile.column("c").mean()
    with pytest.raises(SchemaError, match="column 'x' is numeric: it has no text"):
        _ = profile.column("x").unseen
    with pytest.raises(SchemaError, match="can't add profiles of binnings"):
        _ = profile + Profile.of(Binning((BoolBins("b"),)))


def test_bytes_of_another_binning_are_refused() -> None:
    packed = recount(TABLE, BINNING).pack()
    with pytest.raises(SchemaError, match=r"a packed profile has cells that are not in binning"):
        Profile.of(Binning((BoolBins("b"),)), packed)
