"""Columns of a feature query pass PyFlink's own conversion to pandas without loss."""

import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import strategies as st
from pyflink.table import DataTypes
from pyflink.table.utils import arrow_to_pandas

from driftline.config import FieldType
from driftline.streaming.queries import query_columns

COLUMNS: dict[str, FieldType] = {"n": "int", "x": "float", "text": "string", "flag": "bool"}
SCHEMA = pa.schema(
    [("n", pa.int64()), ("x", pa.float64()), ("text", pa.string()), ("flag", pa.bool_())]
)
TYPES = [
    DataTypes.BIGINT(),
    DataTypes.BOOLEAN(),
    DataTypes.DOUBLE(),
    DataTypes.STRING(),
    DataTypes.BOOLEAN(),
]

rows = st.fixed_dictionaries(
    {
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "x": st.none() | st.floats(allow_nan=False),
        "text": st.none() | st.text(),
        "flag": st.none() | st.booleans(),
    }
)


@given(st.lists(rows, max_size=8))
def test_every_value_comes_as_it_was(found: list[dict[str, object]]) -> None:
    batch = pa.RecordBatch.from_pylist(found, SCHEMA)
    numbers = batch.column("n")
    # what Flink makes of `arguments`
    arguments = [pc.fill_null(numbers, 0), pc.is_null(numbers), *batch.columns[1:]]
    names = [str(i) for i in range(len(arguments))]
    series = arrow_to_pandas(None, TYPES, [pa.RecordBatch.from_arrays(arguments, names)])
    columns = query_columns.read(series, SCHEMA, len(found))
    assert pa.RecordBatch.from_arrays(columns, schema=SCHEMA).equals(batch)


def test_the_arguments_are_those_that_are_read() -> None:
    assert query_columns.arguments(COLUMNS).count(", ") - 1 == len(TYPES)  # one within COALESCE
    assert query_columns.arguments({}) == ""


def test_what_the_planner_knows_comes_as_one_value() -> None:
    columns = query_columns.read([0, True, None, "de", False], SCHEMA, 3)
    expected = {"n": [None] * 3, "x": [None] * 3, "text": ["de"] * 3, "flag": [False] * 3}
    assert pa.RecordBatch.from_arrays(columns, schema=SCHEMA).to_pydict() == expected
