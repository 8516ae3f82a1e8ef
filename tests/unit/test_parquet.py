"""Tables with tensors as Parquet files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline import parquet

TENSOR = pa.list_(pa.float32(), 3)


@given(st.lists(st.none() | st.lists(st.floats(width=32), min_size=3, max_size=3), min_size=1))
def test_tensors_come_back_also_with_gaps(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[float] | None]
) -> None:
    path = tmp_path_factory.mktemp("parquet") / "table.parquet"
    # as numpy makes them: a missing one has values of its own
    flat = np.array([row or [7.0] * 3 for row in rows], np.float32).ravel()
    gaps = pa.array([row is None for row in rows])
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat), 3, mask=gaps)
    table = pa.table({"n": range(len(rows)), "image": column})
    parquet.write(table, path)
    found = parquet.read(path)
    if any(row is not None for row in rows):
        assert found.schema == table.schema
    np.testing.assert_equal(found["image"].to_pylist(), pa.array(rows, TENSOR).to_pylist())


def test_lists_of_several_lengths_stay_lists(tmp_path: Path) -> None:
    table = pa.table({"words": pa.array([[1.0], [1.0, 2.0]], pa.list_(pa.float32()))})
    parquet.write(table, tmp_path / "t.parquet")
    assert parquet.read(tmp_path / "t.parquet") == table
