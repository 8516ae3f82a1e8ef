"""Tables of events as Parquet files, tensors among their columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def write(table: pa.Table, path: Path) -> None:
    """Write a table; tensors as lists: pyarrow writes none of a fixed size that has gaps."""
    for position, field in enumerate(table.schema):
        if pa.types.is_fixed_size_list(field.type):
            lists = pa.list_(field.type.value_type)
            # taking the rows anew lets a missing list have no values
            column = table.column(position).cast(lists).take(np.arange(len(table)))
            table = table.set_column(position, field.with_type(lists), column)
    pq.write_table(table, path)


def read(path: Path) -> pa.Table:
    """Read a table; a column of float32 lists that all have one length is one of tensors.

    Raises:
        OSError, pyarrow.ArrowInvalid: there is no such file, or it is none of Parquet.
    """
    table = pq.read_table(path)
    for position, field in enumerate(table.schema):
        length = _length(table.column(position))
        if length is not None:
            tensors = pa.list_(pa.float32(), length)
            cast = table.column(position).cast(tensors)
            table = table.set_column(position, field.with_type(tensors), cast)
    return table


def _length(column: Any) -> int | None:
    """The length of all lists of a column; None without any, or when they differ."""
    if column.type != pa.list_(pa.float32()):
        return None
    found = pc.min_max(pc.list_value_length(column))
    shortest, longest = found["min"].as_py(), found["max"].as_py()
    return shortest if shortest == longest else None
