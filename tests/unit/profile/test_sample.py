"""The rows that are kept of a reference."""

import numpy as np
import pyarrow as pa
import pytest

from driftline.errors import SchemaError
from driftline.profile import sample


def test_the_same_table_gives_the_same_rows_in_order() -> None:
    features = pa.table({"x": range(20_000), "c": ["a"] * 20_000})
    one = sample.draw(features, np.arange(20_000) / 7)
    assert one == sample.draw(features, np.arange(20_000) / 7)
    assert len(one) == sample.ROWS
    assert one["x"].to_pylist() == sorted(set(one["x"].to_pylist()))
    assert one["score"].to_pylist() == [x / 7 for x in one["x"].to_pylist()]


def test_every_row_has_the_same_chance() -> None:
    kept = sample.draw(pa.table({"x": range(100_000)}), np.zeros(100_000))["x"].to_numpy()
    tenths = np.bincount(kept // 10_000, minlength=10)
    assert np.abs(tenths - 500).max() < 5 * np.sqrt(500)


def test_a_short_reference_is_kept_whole_and_comes_back() -> None:
    features = pa.table({"x": [1.5, None, float("nan")], "c": ["a", None, "ü"], "b": [True] * 3})
    kept = sample.draw(features, [0.0, 0.5, 1.0])
    back = sample.unpack(sample.pack(kept))
    assert str(back.to_pylist()) == str(kept.to_pylist())
    assert sample.pack(kept) == sample.pack(kept)


def test_tensors_are_left_out() -> None:
    tensors = pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))
    assert sample.draw(pa.table({"t": tensors, "x": [1]}), [0.0]).column_names == ["x", "score"]


def test_wide_rows_give_a_smaller_sample() -> None:
    rng = np.random.default_rng(1)
    texts = [rng.bytes(3_000).hex() for _ in range(1_000)]
    packed = sample.pack(sample.draw(pa.table({"t": texts}), np.zeros(1_000)))
    assert len(packed) <= sample.BYTES
    assert 100 < len(sample.unpack(packed)) < 1_000


def test_what_cannot_be_read_says_so() -> None:
    with pytest.raises(SchemaError, match="can't read a reference sample of 3 bytes"):
        sample.unpack(b"abc")
