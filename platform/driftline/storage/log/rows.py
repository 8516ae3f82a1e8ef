"""Stored rows as an Arrow stream, for deep audits and comparisons with the output topic."""

import io
from collections.abc import Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg import sql

from driftline.storage.connection import Connection

# By PostgreSQL's type number: int8, int4, float8, float4, bool.
_ARROW = {
    20: pa.int64(),
    23: pa.int32(),
    701: pa.float64(),
    700: pa.float32(),
    16: pa.bool_(),
}


# Arrow wants every row within two blocks; the longest text comes from a message of 16 MiB.
_BLOCK_BYTES = 17 * 1024 * 1024


class _CopyStream(io.RawIOBase):
    """The bytes of a COPY as a file, for Arrow's CSV reader."""

    def __init__(self, copy: psycopg.Copy) -> None:
        self._copy = copy
        self._buffered = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        parts, size = [self._buffered], len(self._buffered)
        while size < len(buffer) and (data := self._copy.read()):
            parts.append(bytes(data))
            size += len(data)
        content = b"".join(parts)
        n = min(len(content), len(buffer))
        buffer[:n] = content[:n]
        self._buffered = content[n:]
        return n


def stream(connection: Connection, query: sql.Composed, values: Any) -> Iterator[pa.RecordBatch]:
    """The rows of a query, some 17 MB at a time.

    Numbers and bools keep their types, everything else becomes text. CSV is fast on both sides, and
    PostgreSQL's shortest text of a float parses to the same float.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("{} LIMIT 0").format(query), values)
        columns = cursor.description or []
        types = {column.name: _ARROW.get(column.type_code, pa.string()) for column in columns}
        with cursor.copy(_copy(query, types), values) as data:
            yield from _read(_CopyStream(data), types)


def _copy(query: sql.Composed, types: dict[str, pa.DataType]) -> sql.Composed:
    """COPY that quotes empty text, to distinguish it from a missing value."""
    texts = [sql.Identifier(name) for name, kind in types.items() if kind == pa.string()]
    quoted = sql.SQL(", FORCE_QUOTE ({})").format(sql.SQL(", ").join(texts))
    return sql.SQL("COPY ({}) TO STDOUT (FORMAT csv{})").format(
        query, quoted if texts else sql.SQL("")
    )


def _read(file: _CopyStream, types: dict[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    try:
        reader = pyarrow.csv.open_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(
                column_names=list(types), use_threads=False, block_size=_BLOCK_BYTES
            ),
            parse_options=pyarrow.csv.ParseOptions(
                newlines_in_values=True,
                ignore_empty_lines=False,  # a missing value of the only column
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types,
                null_values=[""],
                true_values=["t"],
                false_values=["f"],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error):
            return
        raise
    yield from reader
