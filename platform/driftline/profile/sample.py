"""A bounded sample of a reference's rows: joint values of columns, which profiles do not hold."""

import io

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from driftline import names, parquet
from driftline.errors import SchemaError

ROWS = 5_000  # at most
BYTES = 1_000_000  # at most, packed

_UNPACKED = 256 * 1024 * 1024  # bytes, at most: 5,000 rows of 1,000 columns have 40 million
_SEED = 0


def draw(features: pa.Table, score: npt.ArrayLike, rows: int = ROWS) -> pa.Table:
    """Choose random rows, always the same of a table, in their original order.

    Parameters:
        features: n rows; columns of tensors are omitted, as in profiles.
        score: n numbers.
        rows: how many at most.

    >>> draw(pa.table({"x": range(100)}), np.zeros(100), rows=3).column_names
    ['x', 'score']
    """
    flat = [field.name for field in features.schema if not pa.types.is_nested(field.type)]
    table = features.select(flat).append_column(names.SCORE, pa.array(score, type=pa.float64()))
    return subsample(table, rows)


def pack(sample: pa.Table) -> bytes:
    """Pack as Parquet of at most `BYTES`; keeps fewer rows if they are too wide.

    Raises:
        SchemaError: a single row is larger.
    """
    packed = _parquet(sample)
    while len(packed) > BYTES:
        if len(sample) <= 1:
            raise SchemaError(f"a row of the reference has {len(packed)} bytes: log shorter texts")
        sample = subsample(sample, min(len(sample) // 2, len(sample) * BYTES // len(packed)) or 1)
        packed = _parquet(sample)
    return packed


def unpack(packed: bytes) -> pa.Table:
    """Read the rows that `pack` wrote.

    Raises:
        SchemaError: the bytes are not such a sample.
    """
    try:
        return parquet.unpack(packed, ROWS, _UNPACKED)
    except pa.ArrowException as error:
        raise SchemaError(
            f"can't read a reference sample of {len(packed)} bytes ({error}): register the model "
            "again, or set its reference again"
        ) from error


def subsample(table: pa.Table, rows: int) -> pa.Table:
    """Choose random rows of a table, always the same, in their original order."""
    if len(table) <= rows:
        return table
    chosen = np.random.default_rng(_SEED).choice(len(table), rows, replace=False)
    return table.take(pa.array(np.sort(chosen)))


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), sink, compression="zstd")
    return sink.getvalue()
