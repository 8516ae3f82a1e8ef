"""The fast way of counting equals the plain one, on anything."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import ConfigError, SchemaError
from driftline.profile import build
from driftline.profile.binning import Binning
from driftline.profile.count import INCREMENT, increments
from driftline.profile.profile import Profile
from driftline.profile.recount import labels, recount
from tests.unit.profile.tables import BATCHES, FEATURES, MINUTE, START, batch, reference

REFERENCE = reference()
BINNING = build.build(
    pa.Table.from_batches([REFERENCE.select(FEATURES)]), REFERENCE.column("score").to_numpy()
)
SEGMENTS = ("c", "b")


def total(counted: pa.RecordBatch, binning: Binning, segment: str = "") -> Profile:
    chosen = counted.filter(pc.equal(counted.column("segment"), segment))
    return Profile.of(binning, *chosen.column("cells").to_pylist())


@given(BATCHES)
def test_increments_sum_to_a_recount(rows: pa.RecordBatch) -> None:
    counted = increments(rows, BINNING)
    assert counted.schema == INCREMENT
    assert total(counted, BINNING) == recount(rows, BINNING)


@given(BATCHES)
def test_a_binning_frozen_from_the_rows_themselves_fits_too(rows: pa.RecordBatch) -> None:
    scores = rows.column("score").to_numpy(zero_copy_only=False)
    binning = build.build(pa.Table.from_batches([rows.select(FEATURES)]), scores)
    assert total(increments(rows, binning), binning) == recount(rows, binning)


@given(BATCHES)
def test_each_minute_and_segment_is_counted_by_itself(rows: pa.RecordBatch) -> None:
    counted = increments(rows, BINNING, SEGMENTS)
    minutes = pc.floor_temporal(rows.column("event_time"), unit="minute")
    texts = pc.fill_null(rows.column("c"), "<other>")
    known = pc.is_in(texts, pa.array(["a", "b", "c", ""]))
    labels = {
        "": pa.array([""] * rows.num_rows, pa.string()),
        "c": pc.binary_join_element_wise("c=", pc.if_else(known, texts, "<other>"), ""),
        "b": pc.binary_join_element_wise(
            "b=", pc.fill_null(pc.cast(rows.column("b"), pa.string()), "<other>"), ""
        ),
    }
    seen = 0
    for row in counted.to_pylist():
        label = labels[row["segment"].partition("=")[0]]
        bucket = pa.scalar(row["bucket"], minutes.type)
        own = rows.filter(pc.and_(pc.equal(label, row["segment"]), pc.equal(minutes, bucket)))
        assert own.num_rows == row["rows"] > 0
        assert Profile.of(BINNING, row["cells"]) == recount(own, BINNING)
        seen += row["rows"]
    assert seen == 3 * rows.num_rows
    keys = counted.select(["bucket", "segment"]).to_pylist()
    assert len({tuple(key.values()) for key in keys}) == len(keys)


@given(BATCHES, st.integers(0, 40))
def test_any_split_into_batches_gives_the_same_sum(rows: pa.RecordBatch, at: int) -> None:
    parts = [increments(part, BINNING) for part in (rows.slice(0, at), rows.slice(at))]
    summed = total(parts[0], BINNING) + total(parts[1], BINNING)
    assert summed == total(increments(rows, BINNING), BINNING)


def test_a_value_that_is_called_like_the_others_is_a_segment_of_its_own() -> None:
    values = ["<other>", "\\<other>", "other", "de"]
    binning = build.build(pa.table({"c": values * 25}), np.zeros(100))
    plain = {"event_time": 0, "x": 0.0, "n": 0, "b": True, "score": 0.0}
    plain |= {"inference_ms": 1.0, "lag_ms": 1.0}
    rows = batch([{**plain, "c": value} for value in [*values, "rare", None]])
    counted = increments(rows, binning, ("c",)).to_pylist()
    found = {row["segment"]: row["rows"] for row in counted}
    known = ["c=\\<other>", "c=\\\\<other>", "c=other", "c=de"]
    assert found == {"": 6, **dict.fromkeys(known, 1), "c=<other>": 2}
    shown = labels(pa.chunked_array([rows.column("c")]), binning.column("c")).to_pylist()
    assert [f"c={one}" for one in shown] == [*known, "c=<other>", "c=<other>"]


def test_a_large_batch_is_counted_in_slices() -> None:
    rows = reference(150_000)
    counted = increments(rows, BINNING, SEGMENTS)
    assert pc.sum(counted.column("rows")).as_py() == 3 * rows.num_rows
    assert total(counted, BINNING) == recount(rows, BINNING)


def test_times_centuries_apart() -> None:
    ends = reference(2)
    times = pa.array([-START * 5, START * 20], ends.schema.field("event_time").type)
    far = pa.RecordBatch.from_arrays([times, *ends.columns[1:]], schema=ends.schema)
    counted = increments(far, BINNING, SEGMENTS)
    assert total(counted, BINNING) == recount(far, BINNING)
    assert counted.column("rows").to_pylist() == [1] * 6


def test_no_rows_give_no_increments() -> None:
    assert increments(batch([]), BINNING, SEGMENTS).num_rows == 0


def test_columns_without_any_value() -> None:
    rows = reference(5)
    nulls = [pa.nulls(5, field.type) for field in list(rows.schema)[1:6]]
    columns = [rows.column(0), *nulls, *rows.columns[6:]]
    empty = pa.RecordBatch.from_arrays(columns, schema=rows.schema)
    profile = total(increments(empty, BINNING), BINNING)
    assert [profile.column(name).missing for name in [*FEATURES, "score"]] == [5] * 5
    assert profile == recount(empty, BINNING)


def test_a_column_of_type_null_is_missing() -> None:
    rows = reference(3)
    columns = {name: rows.column(name) for name in rows.schema.names}
    columns |= {name: pa.nulls(3) for name in FEATURES}
    profile = total(increments(pa.RecordBatch.from_pydict(columns), BINNING), BINNING)
    assert [profile.column(name).missing for name in FEATURES] == [3] * 4


def test_dictionary_columns_count_as_their_texts() -> None:
    rows = reference(500)
    texts = rows.column("c").dictionary_encode()
    position = rows.schema.get_field_index("c")
    encoded = pa.RecordBatch.from_pydict(
        {
            name: texts if i == position else rows.column(i)
            for i, name in enumerate(rows.schema.names)
        }
    )
    assert increments(encoded, BINNING, SEGMENTS).equals(increments(rows, BINNING, SEGMENTS))


def test_the_bucket_is_the_minute_of_event_time() -> None:
    values = {"x": 0.0, "n": 0, "c": "a", "b": True, "score": 0.5}
    latencies = {"inference_ms": 1.0, "lag_ms": 1.0}
    rows = [{"event_time": at, **values, **latencies} for at in (-1, 0, MINUTE - 1)]
    counted = increments(batch(rows), BINNING)
    assert counted.column("bucket").cast(pa.int64()).to_pylist() == [START - MINUTE, START]
    assert counted.column("rows").to_pylist() == [1, 2]


def test_a_segment_of_numbers_is_refused() -> None:
    with pytest.raises(ConfigError, match="can't split profiles by 'x', a column of numbers"):
        increments(REFERENCE, BINNING, ("x",))


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [("x", ["a"], "numbers"), ("c", [1.0], "text"), ("b", [1.0], "bools")],
)
def test_a_changed_type_is_refused(name: str, values: list[object], kind: str) -> None:
    rows = reference(1)
    columns = {n: rows.column(n) for n in rows.schema.names} | {name: pa.array(values)}
    with pytest.raises(SchemaError, match=f"column '{name}' is .*, but its binning has {kind}"):
        increments(pa.RecordBatch.from_pydict(columns), BINNING)


def test_texts_beyond_the_reference() -> None:
    table = pa.table({"c": [f"v{i:04}" for i in range(1_100)]})
    binning = build.build(table, [0.5] * 1_100)
    rows = reference(3)
    columns = {n: rows.column(n) for n in ("event_time", "score", "inference_ms", "lag_ms")}
    columns["c"] = pa.array(["v0000", "v1099", "never"])
    column = total(increments(pa.RecordBatch.from_pydict(columns), binning), binning).column("c")
    assert (column.counts[0], column.other, column.unseen, column.missing) == (1, 1, 1, 0)
