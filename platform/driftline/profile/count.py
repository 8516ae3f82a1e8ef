"""Profile increments of a batch of predictions, which the job logs with the rows.

Each value becomes one integer: its group (minute and segment), its cell, its fixed-point value.
Sorting those integers groups everything that is counted together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from driftline import names
from driftline.errors import ConfigError
from driftline.profile import cells, pack, scale
from driftline.profile.binning import Binning, BoolBins, CategoryBins, Ints
from driftline.profile.scale import BITS

MINUTE = 60_000_000  # microseconds
MAX_SEGMENTS = 20  # values of a segmenting column with their own profiles
OTHER = "<other>"  # the segment of all other values, including missing ones

_ROWS = 1 << 16  # per call of `count`; more would leave too few key bits for the cells
_GROUP_BITS = 16 + (MAX_SEGMENTS + 1).bit_length()

INCREMENT = pa.schema(
    [
        pa.field("bucket", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("segment", pa.string(), nullable=False),
        pa.field("rows", pa.int32(), nullable=False),
        pa.field("cells", pa.binary(), nullable=False),
    ]
)


def increments(
    rows: pa.RecordBatch, binning: Binning, segments: tuple[str, ...] = ()
) -> pa.RecordBatch:
    """Count a batch by minute of event time, over all rows and by segment.

    Parameters:
        rows: n rows with event_time and the columns of the binning; other columns are ignored.
        binning: how values become cells.
        segments: columns of text or bools; each splits the counts by its 20 most frequent values.

    Returns:
        Rows of `INCREMENT`: one per minute and segment that occurs. Segment "" holds all rows.

    Raises:
        ConfigError: a segmenting column does not have text or bools.
        SchemaError: a column's type does not fit its binning.
    """
    counter = _counter(binning, segments)
    starts = range(0, rows.num_rows, _ROWS)
    return _concatenate([counter.count(rows.slice(start, _ROWS)) for start in starts])


class _Segment(NamedTuple):
    """A segmenting column: its first cell, and the names of its segments."""

    column: int
    first_cell: int
    labels: pa.Array


@dataclass(frozen=True)
class _Counter:
    """Counts batches of one binning; holds everything that depends only on the binning."""

    columns: dict[str, Callable[[pa.Array], cells.Coded]]
    segments: tuple[_Segment, ...]
    summed: int
    cell_bits: int
    floors: Ints

    def count(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        values = np.empty((len(self.columns), rows.num_rows), dtype=np.int64)
        for i, (name, code) in enumerate(self.columns.items()):
            coded = code(rows.column(name))
            np.left_shift(coded.cells, BITS, out=values[i])
            if coded.steps is not None:
                values[i] += coded.steps
        minutes, minute = _minutes(rows.column(names.EVENT_TIME))
        parts = [self._group(values, minute, minutes, _ALL_ROWS)]
        for segment in self.segments:
            label = (values[segment.column] >> BITS) - segment.first_cell
            np.minimum(label, len(segment.labels) - 1, out=label)
            label += minute * len(segment.labels)
            parts.append(self._group(values, label, minutes, segment.labels))
        return _concatenate(parts)

    def _group(self, values: Ints, group: Ints, minutes: Ints, labels: pa.Array) -> pa.RecordBatch:
        keys = (values + (group << self.cell_bits + BITS)).ravel()
        keys.sort()
        heads = keys >> BITS
        starts = _starts(heads)
        counts = np.diff(starts, append=len(keys))
        occurring = heads[starts]
        cell = occurring & (1 << self.cell_bits) - 1
        groups = occurring >> self.cell_bits
        first = _starts(groups)
        ends = np.append(first[1:], len(groups))
        is_summed = cell < self.summed
        keys &= (1 << BITS) - 1
        sums = np.add.reduceat(keys, starts)[is_summed]
        sums -= counts[is_summed] * self.floors.take(cell[is_summed])
        packed = pack.pack_groups(cell, counts, ends, sums, np.cumsum(is_summed)[ends - 1])
        minute, label = np.divmod(groups[first], len(labels))
        size = np.diff(starts[first], append=len(keys)) // len(values)
        columns = [
            pa.array(minutes[minute] * MINUTE).view(INCREMENT.field("bucket").type),
            labels.take(pa.array(label)),
            pa.array(size.astype(np.int32)),
            packed,
        ]
        return pa.RecordBatch.from_arrays(columns, schema=INCREMENT)


_ALL_ROWS = pa.array([names.ALL_ROWS])


@lru_cache(maxsize=64)
def _counter(binning: Binning, segments: tuple[str, ...]) -> _Counter:
    cell_bits = binning.size.bit_length()
    if cell_bits + _GROUP_BITS + BITS > 63:
        raise ConfigError(
            f"binning {binning.id} has {binning.size} cells, too many: use fewer text columns"
        )
    return _Counter(
        columns=dict(cells.coders(binning)),
        segments=tuple(_segment(binning, name) for name in segments),
        summed=binning.summed,
        cell_bits=cell_bits,
        floors=scale.floors(binning),
    )


def escaped(value: str) -> str:
    r"""Escape a value in a segment name, so that none equals `OTHER`.

    >>> escaped("de"), escaped("<other>") == r"\<other>", escaped(r"\<other>") == r"\\<other>"
    ('de', True, True)
    """
    return f"\\{value}" if value.lstrip("\\") == OTHER else value


def _segment(binning: Binning, name: str) -> _Segment:
    bins = binning.column(name)
    match bins:
        case CategoryBins():
            values = list(bins.categories[:MAX_SEGMENTS])
        case BoolBins():
            values = ["false", "true"]
        case _:
            raise ConfigError(
                f"can't split profiles by {name!r}, a column of numbers: use a text or bool column"
            )
    labels = pa.array([f"{name}={value}" for value in [*map(escaped, values), OTHER]])
    position = list(binning.by_name).index(name)
    return _Segment(position, binning.cells[name].plain.start, labels)


def _minutes(times: pa.Array) -> tuple[Ints, Ints]:
    """Distinct minutes since 1970, ascending (some might have no rows), and each row's index."""
    microseconds = times.cast(pa.timestamp("us", tz="UTC")).view(pa.int64())
    minute = microseconds.to_numpy() // MINUTE
    low, high = int(minute.min()), int(minute.max())
    if high - low < _ROWS:
        return np.arange(low, high + 1), minute - low
    return np.unique(minute, return_inverse=True)


def _starts(values: Ints) -> Ints:
    """Where each run of equal values starts."""
    return np.concatenate(([0], np.flatnonzero(values[1:] != values[:-1]) + 1))


def _concatenate(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return pa.RecordBatch.from_pylist([], INCREMENT)
    return pa.Table.from_batches(parts, INCREMENT).combine_chunks().to_batches()[0]
