"""The columns of a feature query on their way into Python, to the last digit.

PyFlink gives a function pandas' columns, in which a whole number beside a missing one becomes a
float: above 2^53 it is another number, and near 2^63 it does not fit back. So a whole number comes
as two arguments, neither of which is ever missing.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from driftline.config import FieldType
from driftline.streaming.queries.series import Series


def arguments(columns: Mapping[str, FieldType]) -> str:
    """What a function is called with in SQL, each with a comma before it.

    >>> arguments({"n": "int", "mean": "float"})
    ', COALESCE(`n`, CAST(0 AS BIGINT)), `n` IS NULL, `mean`'
    """
    return "".join(
        f", COALESCE(`{name}`, CAST(0 AS BIGINT)), `{name}` IS NULL"
        if kind == "int"
        else f", `{name}`"
        for name, kind in columns.items()
    )


def read(found: Sequence[Series | object], schema: pa.Schema, n: int) -> list[pa.Array]:
    """The columns again, from what the function was called with.

    Parameters:
        found: series of n rows; a value where the planner has found that it is always that one.
        schema: of the columns.
        n: how many rows there are.

    Returns:
        An array of n rows for each field.

    >>> largest = pd.Series([2**63 - 1, 0])
    >>> schema = pa.schema([("n", pa.int64()), ("late", pa.bool_())])
    >>> [one.to_pylist() for one in read([largest, pd.Series([False, True]), None], schema, 2)]
    [[9223372036854775807, None], [None, None]]
    """
    rest = iter(found)
    return [_array(next(rest), field.type, rest, n) for field in schema]


def _array(values: Any, kind: pa.DataType, rest: Iterator[Any], n: int) -> pa.Array:
    if pa.types.is_integer(kind):
        missing = np.broadcast_to(np.asarray(next(rest), dtype=np.bool_), n)
        return pa.array(np.broadcast_to(np.asarray(values), n), kind, mask=missing)
    if not isinstance(values, pd.Series):
        return pa.repeat(pa.scalar(values, kind), n)
    return pa.array(values, kind, from_pandas=True)
