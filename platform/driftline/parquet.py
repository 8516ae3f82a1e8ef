"""Tables of events as Parquet files, tensors among their columns."""

import io
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


def unpack(packed: bytes, most_rows: int, most_bytes: int) -> pa.Table:
    """Read bytes that may be of somebody else's making.

    Parameters:
        packed: a Parquet file of flat columns.
        most_rows: it may have; a few bytes can stand for any number of equal ones.
        most_bytes: it may become.

    Raises:
        pyarrow.ArrowException: it is none, or larger.
    """
    try:
        held = pq.read_metadata(io.BytesIO(packed))
        groups = [held.row_group(number) for number in range(held.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
        if held.num_rows > most_rows or size > most_bytes:
            raise pa.ArrowInvalid(f"it would become {held.num_rows} rows of {size} bytes")
        schema = pq.read_schema(io.BytesIO(packed))
        if any(pa.types.is_nested(kind) for kind in schema.types):
            raise pa.ArrowInvalid("it has columns of lists")
        # as they are stored, each text once: a long one may stand in all rows
        texts = [field.name for field in schema if _has_length(field.type)]
        found = pq.ParquetFile(io.BytesIO(packed), read_dictionary=texts).read()
        size = sum(_decoded(column) for column in found.columns)
        if size > most_bytes:
            raise pa.ArrowInvalid(f"it would become {size} bytes")
        return found.cast(schema)
    except (OSError, ValueError) as error:  # a page that says one thing and is another
        raise pa.ArrowInvalid(str(error)) from error


def _has_length(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    )


def _decoded(column: pa.ChunkedArray) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    return sum(
        pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() or 0
        for chunk in column.chunks
    )


def _length(column: Any) -> int | None:
    """The length of all lists of a column; None without any, or when they differ."""
    if column.type != pa.list_(pa.float32()):
        return None
    found = pc.min_max(pc.list_value_length(column))
    shortest, longest = found["min"].as_py(), found["max"].as_py()
    return shortest if shortest == longest else None
