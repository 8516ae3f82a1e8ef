"""Whole numbers keep their value on every path, near 2**63 and beside missing ones too."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from driftline import parquet
from driftline.config import Model
from driftline.names import IS_EVENT
from driftline.streaming.queries.query_fields import ReadFields
from driftline.streaming.queries.series import to_series
from driftline.streaming.scoring.score import _json

LIMIT = 2**63
NEAR = st.sampled_from([2**53 + 1, -(2**53) - 1, LIMIT - 1, -LIMIT, 0])
NUMBERS = NEAR | st.integers(-LIMIT, LIMIT - 1)
COLUMN = st.lists(st.none() | NUMBERS, min_size=1, max_size=20)


def as_pyflink_takes(series: "pd.Series[int]") -> list[int | None]:
    """What PyFlink makes of a function's result (pyflink.fn_execution.coders)."""
    numbers: list[int | None] = pa.Array.from_pandas(
        series, mask=series.isnull(), type=pa.int64()
    ).to_pylist()
    return numbers


@given(COLUMN)
def test_in_series_and_files(values: list[int | None]) -> None:
    column = pa.array(values, pa.int64())
    assert as_pyflink_takes(to_series(column)) == values
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.parquet"
        parquet.write(pa.table({"n": column}), path)
        assert parquet.read(path)["n"].to_pylist() == values


@given(st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=1, max_size=10))
def test_in_outputs(rows: list[list[int]]) -> None:
    pattern, texts = _json(np.array(rows, dtype=np.int64))
    assert [json.loads(pattern % text) for text in texts] == rows


@given(COLUMN)
def test_as_fields_of_a_feature_query(values: list[int | None]) -> None:
    model = Model.model_validate(
        {
            "input": {"topic": "t", "event_id": "id", "event_time": "at", "fields": {"n": "int"}},
            "registry": {"name": "m"},
            "features": {
                "sql": {"query": "SELECT *, n + 1 AS m FROM events", "columns": {"m": "int"}}
            },
        }
    )
    function = ReadFields(model)
    function.open(None)
    event = {"id": "a", "at": "2026-01-01T00:00:00Z"}
    bodies = [json.dumps({**event, "n": value}).encode() for value in values]
    bodies.append(json.dumps({**event, "n": "1"}).encode())  # the decoder rejects it
    times = pd.Series(pd.to_datetime(["2026-01-01"] * len(bodies), utc=True))
    frame = function.eval(pd.Series(bodies), times)
    assert frame[IS_EVENT].tolist() == [True] * len(values) + [False]
    assert as_pyflink_takes(frame["n"]) == [*values, None]
