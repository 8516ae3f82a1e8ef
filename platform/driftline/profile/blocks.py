"""A reference by time: one profile per hour or day, to measure its variation over time."""

import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from driftline import names, parquet
from driftline.errors import SchemaError
from driftline.profile import pack
from driftline.profile.binning import Binning, Ints
from driftline.profile.count import MINUTE, increments
from driftline.profile.trimmed import trim

HOUR, DAY = 3_600, 86_400  # seconds
MAX_BLOCKS = 2_500  # of an hour or less; a longer reference has longer blocks
_MAX_HOURS_BYTES = 4_000_000  # bytes of an artifact with hours; a larger one has days
_MAX_ROWS = 100_000  # of an artifact: days of more than two centuries
_UNPACKED = 1024 * 1024 * 1024  # most bytes of an unpacked artifact
_SCHEMA = pa.schema(
    [("seconds", pa.int32()), ("start", pa.int64()), ("rows", pa.int64()), ("cells", pa.binary())]
)


class Block(NamedTuple):
    """The packed profile of one span of time.

    Attributes:
        segment: "" for all rows.
        seconds: its length.
    """

    segment: str
    seconds: int
    start: datetime
    rows: int
    cells: bytes


def seconds_for(times: pa.Array | pa.ChunkedArray, shortest: int = HOUR) -> int:
    """The shortest block length within `MAX_BLOCKS`: an hour or less, or a day."""
    return _fitting(shortest, lambda length: len(np.unique(_seconds(times) // length)))


def seconds_of(span: timedelta, shortest: int = HOUR) -> int:
    """As `seconds_for`, for a complete span of time.

    >>> seconds_of(timedelta(days=8), 300), seconds_of(timedelta(days=9), 300)
    (300, 3600)
    """
    return _fitting(shortest, lambda length: span.total_seconds() / length)


def _fitting(shortest: int, blocks: Callable[[int], float]) -> int:
    return next((length for length in (shortest, HOUR) if blocks(length) <= MAX_BLOCKS), DAY)


def max_span(seconds: int) -> timedelta:
    """The longest span, in whole days, that `MAX_BLOCKS` blocks of a length cover.

    >>> max_span(300)
    datetime.timedelta(days=8)
    """
    return timedelta(days=MAX_BLOCKS * seconds // DAY)


def build(
    rows: pa.Table,
    times: pa.Array | pa.ChunkedArray,
    binning: Binning,
    seconds: int,
    segments: Sequence[str] = (),
) -> list[Block]:
    """Profile each block of time, and each segment of it.

    Parameters:
        rows: n rows: the columns of the binning, except latencies, which references do not have.
        times: n event times; rows without a time are omitted.
        binning: how values become cells.
        seconds: the length of a block, whole minutes.
        segments: requested in addition to all rows, such as `country=de`.

    Raises:
        ConfigError: a segment is not of a column of text or bools.
        SchemaError: a column is missing.
    """
    has_time = ~np.asarray(times.is_null())
    if not has_time.all():
        rows, times = rows.filter(pa.array(has_time)), times.filter(pa.array(has_time))
    starts, block_index = np.unique(_seconds(times) // seconds * seconds, return_inverse=True)
    trimmed = trim(binning)
    missing = [b.name for b in trimmed.binning.columns if b.name not in rows.column_names]
    if missing:
        raise SchemaError(
            f"the reference has no column {missing[0]!r}: it must contain all columns of the model"
        )
    # each block becomes one pseudo minute, so that counting by minute counts by block
    pseudo_time = pa.array(block_index.astype(np.int64) * MINUTE).cast(pa.timestamp("us", tz="UTC"))
    table = rows.select([b.name for b in trimmed.binning.columns])
    table = table.append_column(names.EVENT_TIME, pseudo_time)
    columns = tuple(dict.fromkeys(segment.partition("=")[0] for segment in segments))
    requested = {names.ALL_ROWS, *segments}
    by_block: dict[tuple[str, int], list[tuple[int, bytes]]] = {}
    for batch in table.combine_chunks().to_batches():
        counted = increments(batch, trimmed.binning, columns)
        numbers = counted.column("bucket").cast(pa.int64()).to_numpy() // MINUTE
        for number, segment, n, cells in zip(
            numbers.tolist(),
            *(counted.column(name).to_pylist() for name in ("segment", "rows", "cells")),
            strict=True,
        ):
            if segment in requested:
                by_block.setdefault((segment, number), []).append((n, cells))
    return [
        Block(
            segment,
            seconds,
            datetime.fromtimestamp(int(starts[number]), UTC),
            sum(n for n, _ in parts),
            _with_latencies(pack.add(cells for _, cells in parts), trimmed.cells),
        )
        for (segment, number), parts in sorted(by_block.items())
    ]


def to_bytes(blocks: Sequence[Block]) -> bytes:
    """Blocks of all rows as a small Parquet file."""
    columns = [
        [block.seconds for block in blocks],
        [int(block.start.timestamp()) for block in blocks],
        [block.rows for block in blocks],
        [block.cells for block in blocks],
    ]
    arrays = [pa.array(c, f.type) for c, f in zip(columns, _SCHEMA, strict=True)]
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), sink, compression="zstd")
    return sink.getvalue()


def from_bytes(content: bytes) -> list[Block]:
    """What `to_bytes` wrote.

    Raises:
        SchemaError: the bytes are not such a file.
    """
    try:
        table = parquet.unpack(content, _MAX_ROWS, _UNPACKED).cast(_SCHEMA)
        if any(column.null_count for column in table.columns):
            raise SchemaError("the blocks of the reference have gaps: register the model again")
        return [
            Block(
                names.ALL_ROWS,
                row["seconds"],
                datetime.fromtimestamp(row["start"], UTC),
                row["rows"],
                row["cells"],
            )
            for row in table.to_pylist()
        ]
    except (pa.ArrowException, ValueError, OverflowError, OSError) as error:
        raise SchemaError(
            f"can't read the blocks of the reference ({error}): register the model again"
        ) from error


def artifact(rows: pa.Table, times: pa.Array | pa.ChunkedArray, binning: Binning) -> bytes:
    """The blocks of a registered reference: hours, or days where those would be too large."""
    seconds = seconds_for(times)
    content = to_bytes(build(rows, times, binning, seconds))
    if seconds == HOUR and len(content) > _MAX_HOURS_BYTES:
        content = to_bytes(build(rows, times, binning, DAY))
    return content


def _with_latencies(packed: bytes, cells: Ints) -> bytes:
    """Renumber the cells of a binning without latencies to those of the full binning."""
    profile = pack.unpack(packed)
    return pack.pack(cells[profile.cells], profile.counts, profile.sums)


def _seconds(times: pa.Array | pa.ChunkedArray) -> Ints:
    if isinstance(times, pa.ChunkedArray):
        times = times.combine_chunks()
    whole = times.cast(pa.timestamp("us", tz=times.type.tz)).cast(pa.int64()).to_numpy()
    seconds: Ints = whole // 1_000_000
    return seconds
