"""The packed form: round trip, sizes, merging, what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.errors import SchemaError
from driftline.profile import pack

COUNTS = st.one_of(st.integers(1, 3), st.integers(1, 2**50))
CELLS = st.dictionaries(st.integers(0, 100_000), st.tuples(COUNTS, st.integers(0, 2**60)))


def packed(cells: dict[int, tuple[int, int]], summed: int = 50_000) -> bytes:
    """Cells below `summed` carry sums."""
    order = sorted(cells)
    return pack.pack(
        np.array(order, dtype=np.int64),
        np.array([cells[cell][0] for cell in order], dtype=np.int64),
        np.array([cells[cell][1] for cell in order if cell < summed], dtype=np.int64),
    )


@given(CELLS)
def test_unpack_gives_what_was_packed(cells: dict[int, tuple[int, int]]) -> None:
    order = sorted(cells)
    again = pack.unpack(packed(cells))
    assert again.cells.tolist() == order
    assert again.counts.tolist() == [cells[cell][0] for cell in order]
    assert again.sums.tolist() == [cells[cell][1] for cell in order if cell < 50_000]


@given(st.lists(CELLS, max_size=4))
def test_add_is_the_sum_by_cell_in_any_order_and_grouping(
    many: list[dict[int, tuple[int, int]]],
) -> None:
    parts = [packed(cells) for cells in many]
    whole = pack.add(parts)
    assert pack.add(reversed(parts)) == whole
    assert pack.add([pack.add(parts[:2]), pack.add(parts[2:])]) == whole
    total: dict[int, tuple[int, int]] = {}
    for cells in many:
        for cell, (count, value) in cells.items():
            so_far = total.get(cell, (0, 0))
            total[cell] = (so_far[0] + count, so_far[1] + value)
    assert whole == packed(total)


def test_one_event_of_twelve_columns_is_small() -> None:
    cells = {100 * i: (1, 200_000) for i in range(9)} | {1_500 + i: (1, 0) for i in range(3)}
    assert len(packed(cells, summed=1_500)) == 6 + 12 * 3 + 9 * 4


@pytest.mark.parametrize("spoilt", [b"", b"\x02\x00\x00\x00\x00\x00", b"\x01"])
def test_another_format_is_refused(spoilt: bytes) -> None:
    with pytest.raises(SchemaError, match="can't read a packed profile that starts with"):
        pack.unpack(spoilt)


def test_a_cut_row_is_refused() -> None:
    whole = packed({1: (1, 5), 2: (300, 70_000)})
    with pytest.raises(SchemaError, match="packed profile of 20 bytes is truncated"):
        pack.unpack(whole[:-2])
