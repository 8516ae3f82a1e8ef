"""Tables of events as Parquet files, including columns of tensors."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from driftline.errors import DriftlineError


def write(table: pa.Table, path: Path) -> None:
    """Write a table; tensors become lists: pyarrow cannot write fixed-size lists with nulls."""
    for position, field in enumerate(table.schema):
        if pa.types.is_fixed_size_list(field.type):
            lists = pa.list_(field.type.value_type)
            # `take` rebuilds the column, so that a missing list has no values
            column = table.column(position).cast(lists).take(np.arange(len(table)))
            table = table.set_column(position, field.with_type(lists), column)
    pq.write_table(table, path)


def read(path: Path, description: str = "the table") -> pa.Table:
    """Read a table; a column of float32 lists of equal length becomes a column of tensors.

    Parameters:
        path: a Parquet file.
        description: of the file, for errors.

    Raises:
        DriftlineError: there is no such file, or it is not a Parquet file.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DriftlineError(
            f"can't read {description} {str(path)!r} as Parquet: {error}"
        ) from error
    for position, field in enumerate(table.schema):
        length = _length(table.column(position))
        if length is not None:
            tensors = pa.list_(pa.float32(), length)
            cast = table.column(position).cast(tensors)
            table = table.set_column(position, field.with_type(tensors), cast)
    return table


def unpack(packed: bytes, most_rows: int, most_bytes: int) -> pa.Table:
    """Read bytes from an untrusted source.

    Parameters:
        packed: a Parquet file of flat columns.
        most_rows: maximum number of rows; a few bytes can encode any number of equal rows.
        most_bytes: maximum size of the decoded table.

    Raises:
        pyarrow.ArrowException: it is not such a file, or exceeds a limit.
    """
    try:
        metadata = pq.read_metadata(io.BytesIO(packed))
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
        if metadata.num_rows > most_rows or size > most_bytes:
            raise pa.ArrowInvalid(f"it would become {metadata.num_rows} rows of {size} bytes")
        schema = pq.read_schema(io.BytesIO(packed))
        if any(pa.types.is_nested(kind) for kind in schema.types):
            raise pa.ArrowInvalid("it has columns of lists")
        # dictionary-encoded, each text once: a long text may occur in all rows
        texts = [field.name for field in schema if _has_length(field.type)]
        table = pq.ParquetFile(io.BytesIO(packed), read_dictionary=texts).read()
        size = sum(_decoded(column) for column in table.columns)
        if size > most_bytes:
            raise pa.ArrowInvalid(f"it would become {size} bytes")
        return table.cast(schema)
    except (OSError, ValueError) as error:  # the data contradicts its own header
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
    """The common length of a column's lists; None if there are none, or if they differ."""
    if column.type != pa.list_(pa.float32()):
        return None
    limits = pc.min_max(pc.list_value_length(column))
    shortest, longest = limits["min"].as_py(), limits["max"].as_py()
    return shortest if shortest == longest else None
