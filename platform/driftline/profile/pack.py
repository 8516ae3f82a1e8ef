"""The packed form of a profile: its non-zero cells as bytes.

One byte for the version, one for the widths, four for the number of summed cells m; then for the n
non-zero cells, ascending: the cells (uint16 or uint32), the counts (uint8 to uint64); then the
sums of the first m (uint32 or uint64). Little-endian. n follows from the length.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import SchemaError
from driftline.profile.binning import Ints

FORMAT = 1

_HEADER = np.dtype([("format", "u1"), ("widths", "u1"), ("summed", "<u4")])
_CELLS = ("<u2", "<u4")
_COUNTS = ("<u1", "<u2", "<u4", "<u8")
_SUMS = ("<u4", "<u8")


class Packed(NamedTuple):
    """The content of a packed profile.

    Attributes:
        cells: int64[n], ascending.
        counts: int64[n], each above 0.
        sums: int64[m], m <= n, of the first m cells: above the cell's lower edge, in steps.
    """

    cells: Ints
    counts: Ints
    sums: Ints


def pack(cells: Ints, counts: Ints, sums: Ints) -> bytes:
    """Pack the cells of one profile.

    Parameters:
        cells: int64[n], ascending, without repeats.
        counts: int64[n].
        sums: int64[m], m <= n, of the first m cells.

    >>> cells, counts, sums = np.array([2, 9]), np.array([3, 1]), np.array([70_000])
    >>> len(pack(cells, counts, sums)), unpack(pack(cells, counts, sums)).counts
    (16, array([3, 1]))
    """
    ends = np.array([len(cells)])
    row: bytes = pack_groups(cells, counts, ends, sums, np.array([len(sums)]))[0].as_py()
    return row


def pack_groups(
    cells: Ints, counts: Ints, ends: Ints, sums: Ints, summed_ends: Ints
) -> pa.BinaryArray:
    """Pack consecutive profiles, all with the same widths.

    Parameters:
        cells: int64[n], ascending within a profile.
        counts: int64[n].
        ends: int64[g], where each profile's cells end.
        sums: int64[m], of the first cells of each profile.
        summed_ends: int64[g], where each profile's sums end.
    """
    cell_type, cell_code = _narrowest(_CELLS, cells)
    count_type, count_code = _narrowest(_COUNTS, counts)
    sum_type, sum_code = _narrowest(_SUMS, sums)
    header = np.empty(len(ends), dtype=_HEADER)
    header["format"] = FORMAT
    header["widths"] = cell_code | count_code << 1 | sum_code << 3
    header["summed"] = np.diff(summed_ends, prepend=0)
    return pc.binary_join_element_wise(
        _binary(header, np.arange(1, len(ends) + 1)),
        _binary(cells.astype(cell_type), ends),
        _binary(counts.astype(count_type), ends),
        _binary(sums.astype(sum_type), summed_ends),
        pa.scalar(b"", pa.binary()),
    )


def _narrowest(types: tuple[str, ...], values: Ints) -> tuple[npt.DTypeLike, int]:
    largest = int(values.max(initial=0))
    for code, name in enumerate(types):
        if largest <= np.iinfo(name).max:
            return np.dtype(name), code
    raise OverflowError(f"{largest} does not fit in {types[-1]}")


def _binary(values: npt.NDArray[np.generic], ends: Ints) -> pa.BinaryArray:
    offsets = np.zeros(len(ends) + 1, dtype=np.int32)
    offsets[1:] = ends * values.itemsize
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(values.tobytes())]
    return pa.Array.from_buffers(pa.binary(), len(ends), buffers)


def unpack(packed: bytes) -> Packed:
    """The cells, counts and sums of one packed profile.

    Raises:
        SchemaError: the bytes have another format or are truncated.
    """
    if len(packed) < _HEADER.itemsize or packed[0] != FORMAT:
        raise SchemaError(
            f"can't read a packed profile that starts with {bytes(packed[:2])!r}: "
            f"this driftline reads format {FORMAT}"
        )
    widths, summed = packed[1], int.from_bytes(packed[2:6], "little")
    cell_type = np.dtype(_CELLS[widths & 1])
    count_type = np.dtype(_COUNTS[widths >> 1 & 3])
    sum_type = np.dtype(_SUMS[widths >> 3 & 1])
    body = len(packed) - _HEADER.itemsize - summed * sum_type.itemsize
    n, left = divmod(body, cell_type.itemsize + count_type.itemsize)
    if body < 0 or left or summed > n:
        raise SchemaError(f"packed profile of {len(packed)} bytes is truncated: restore the row")
    at = _HEADER.itemsize
    cells = np.frombuffer(packed, cell_type, n, at)
    at += cells.nbytes
    counts = np.frombuffer(packed, count_type, n, at)
    at += counts.nbytes
    sums = np.frombuffer(packed, sum_type, summed, at)
    return Packed(cells.astype(np.int64), counts.astype(np.int64), sums.astype(np.int64))


def add(profiles: Iterable[bytes]) -> bytes:
    """The sum of packed profiles; integers only, so the order does not matter.

    >>> packed = pack(np.array([2, 9]), np.array([3, 1]), np.array([5]))
    >>> unpack(add([packed, packed])).counts
    array([6, 2])
    """
    parts = [unpack(packed) for packed in profiles]
    if not parts:
        return pack(*(np.zeros(0, dtype=np.int64) for _ in range(3)))
    cells, counts = _merge(
        np.concatenate([part.cells for part in parts]),
        np.concatenate([part.counts for part in parts]),
    )
    _, sums = _merge(
        np.concatenate([part.cells[: len(part.sums)] for part in parts]),
        np.concatenate([part.sums for part in parts]),
    )
    return pack(cells, counts, sums)


def _merge(cells: Ints, values: Ints) -> tuple[Ints, Ints]:
    """The distinct cells, ascending, each with the total of its values."""
    if len(cells) == 0:
        return cells, values
    order = np.argsort(cells, kind="stable")
    ordered = cells[order]
    starts = np.concatenate(([0], np.flatnonzero(np.diff(ordered)) + 1))
    return ordered[starts], np.add.reduceat(values[order], starts)
