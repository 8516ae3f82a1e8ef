"""A reference by time: one profile for each hour or day, so that its own variation is known."""

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
MOST = 2_500  # blocks of an hour or less; a longer reference has longer ones
_LARGEST = 4_000_000  # bytes of an artifact with hours; a larger one has days
_MOST_ROWS = 100_000  # of an artifact that is read: days of more than two centuries
_UNPACKED = 1024 * 1024 * 1024  # bytes of one, at most
_SCHEMA = pa.schema(
    [("seconds", pa.int32()), ("start", pa.int64()), ("rows", pa.int64()), ("cells", pa.binary())]
)


class Block(NamedTuple):
    """The packed profile of one stretch of time.

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
    """The shortest length that makes not too many blocks: hours or less, or days."""
    return _fitting(shortest, lambda length: len(np.unique(_seconds(times) // length)))


def seconds_of(span: timedelta, shortest: int = HOUR) -> int:
    """As `seconds_for`, of all of a stretch of time.

    >>> seconds_of(timedelta(days=8), 300), seconds_of(timedelta(days=9), 300)
    (300, 3600)
    """
    return _fitting(shortest, lambda length: span.total_seconds() / length)


def _fitting(shortest: int, blocks: Callable[[int], float]) -> int:
    return next((length for length in (shortest, HOUR) if blocks(length) <= MOST), DAY)


def longest(seconds: int) -> timedelta:
    """The whole days that not too many blocks of a length cover.

    >>> longest(300)
    datetime.timedelta(days=8)
    """
    return timedelta(days=MOST * seconds // DAY)


def cut(
    rows: pa.Table,
    times: pa.Array | pa.ChunkedArray,
    binning: Binning,
    seconds: int,
    segments: Sequence[str] = (),
) -> list[Block]:
    """Profile each block of time, and each segment of it.

    Args:
        rows: n rows: the columns of the binning but for the latencies, which references lack.
        times: n event times; rows without one are left out.
        binning: how values become cells.
        seconds: the length of a block, whole minutes.
        segments: those that are wanted beside all rows, such as `country=de`.

    Raises:
        ConfigError: a segment is not of a column of text or bools.
        SchemaError: the rows lack a column.
    """
    known = ~np.asarray(times.is_null())
    if not known.all():
        rows, times = rows.filter(pa.array(known)), times.filter(pa.array(known))
    starts, place = np.unique(_seconds(times) // seconds * seconds, return_inverse=True)
    cut_binning = trim(binning)
    lacking = [b.name for b in cut_binning.binning.columns if b.name not in rows.column_names]
    if lacking:
        raise SchemaError(f"the reference has no column {lacking[0]!r}: it has to hold them all")
    # a minute each stands for a block: what is counted by minute is counted by block
    stand_in = pa.array(place.astype(np.int64) * MINUTE).cast(pa.timestamp("us", tz="UTC"))
    table = rows.select([b.name for b in cut_binning.binning.columns])
    table = table.append_column(names.EVENT_TIME, stand_in)
    columns = tuple(dict.fromkeys(segment.partition("=")[0] for segment in segments))
    wanted = {names.ALL_ROWS, *segments}
    found: dict[tuple[str, int], list[tuple[int, bytes]]] = {}
    for batch in table.combine_chunks().to_batches():
        counted = increments(batch, cut_binning.binning, columns)
        numbers = counted.column("bucket").cast(pa.int64()).to_numpy() // MINUTE
        for number, segment, n, cells in zip(
            numbers.tolist(),
            *(counted.column(name).to_pylist() for name in ("segment", "rows", "cells")),
            strict=True,
        ):
            if segment in wanted:
                found.setdefault((segment, number), []).append((n, cells))
    return [
        Block(
            segment,
            seconds,
            datetime.fromtimestamp(int(starts[number]), UTC),
            sum(n for n, _ in parts),
            _whole(pack.add(cells for _, cells in parts), cut_binning.kept),
        )
        for (segment, number), parts in sorted(found.items())
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
        SchemaError: it is none of it.
    """
    try:
        table = parquet.unpack(content, _MOST_ROWS, _UNPACKED).cast(_SCHEMA)
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
    """The blocks of a registered reference: hours, or days where those would be too much."""
    seconds = seconds_for(times)
    content = to_bytes(cut(rows, times, binning, seconds))
    if seconds == HOUR and len(content) > _LARGEST:
        content = to_bytes(cut(rows, times, binning, DAY))
    return content


def _whole(packed: bytes, kept: Ints) -> bytes:
    """Cells of a binning without latencies as those of the whole one."""
    one = pack.unpack(packed)
    return pack.pack(kept[one.cells], one.counts, one.sums)


def _seconds(times: pa.Array | pa.ChunkedArray) -> Ints:
    if isinstance(times, pa.ChunkedArray):
        times = times.combine_chunks()
    whole = times.cast(pa.timestamp("us", tz=times.type.tz)).cast(pa.int64()).to_numpy()
    seconds: Ints = whole // 1_000_000
    return seconds
