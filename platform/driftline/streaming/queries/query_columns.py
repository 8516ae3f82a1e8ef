"""Passes the columns of a feature query to Python without losing digits of whole numbers.

PyFlink passes pandas columns, in which whole numbers become floats if any is missing: above 2^53
they change, and near 2^63 they cannot be converted back. So a whole number is passed as two
arguments, neither of which is ever missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from driftline.config import FieldType
from driftline.streaming.queries.series import Series


def arguments(columns: Mapping[str, FieldType]) -> str:
    """Arguments of a function in SQL, each preceded by a comma.

    >>> arguments({"n": "int", "mean": "float"})
    ', COALESCE(`n`, CAST(0 AS BIGINT)), `n` IS NULL, `mean`'
    """
    return "".join(
        f", COALESCE(`{name}`, CAST(0 AS BIGINT)), `{name}` IS NULL"
        if kind == "int"
        else f", `{name}`"
        for name, kind in columns.items()
    )


def read(values: Sequence[Series | object], schema: pa.Schema, n: int) -> list[pa.Array]:
    """The columns, from the arguments that the function was called with.

    Parameters:
        values: series of n rows, or a single value if the planner found that it is constant.
        schema: of the columns.
        n: number of rows.

    Returns:
        An array of n rows for each field.

    >>> largest = pd.Series([2**63 - 1, 0])
    >>> schema = pa.schema([("n", pa.int64()), ("late", pa.bool_())])
    >>> [c.to_pylist() for c in read([largest, pd.Series([False, True]), None], schema, 2)]
    [[9223372036854775807, None], [None, None]]
    """
    remaining = iter(values)
    return [_array(next(remaining), field.type, remaining, n) for field in schema]


def _array(values: Any, kind: pa.DataType, remaining: Iterator[Any], n: int) -> pa.Array:
    if pa.types.is_integer(kind):
        missing = np.broadcast_to(np.asarray(next(remaining), dtype=np.bool_), n)
        return pa.array(np.broadcast_to(np.asarray(values), n), kind, mask=missing)
    if not isinstance(values, pd.Series):
        return pa.repeat(pa.scalar(values, kind), n)
    return pa.array(values, kind, from_pandas=True)
