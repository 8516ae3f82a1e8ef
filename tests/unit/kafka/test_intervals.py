"""Interval sets agree with Python's sets on whatever offsets there are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from driftline.kafka import intervals

offsets = st.lists(st.integers(0, 60), max_size=40)


def members(spans: intervals.Ints) -> set[int]:
    return {value for first, end in spans.tolist() for value in range(first, end)}


def is_canonical(spans: intervals.Ints) -> bool:
    return bool((spans[:, 0] < spans[:, 1]).all() and (spans[1:, 0] > spans[:-1, 1]).all())


@given(offsets)
def test_of_holds_the_offsets(some: list[int]) -> None:
    spans = intervals.of(some)
    assert members(spans) == set(some)
    assert intervals.size(spans) == len(set(some))
    assert is_canonical(spans)


@given(offsets, offsets)
def test_set_operations(some: list[int], others: list[int]) -> None:
    a, b = intervals.of(some), intervals.of(others)
    for result, expected in (
        (intervals.union(a, b), set(some) | set(others)),
        (intervals.repeated(a, b), set(some) & set(others)),
        (intervals.subtract(a, b), set(some) - set(others)),
    ):
        assert members(result) == expected
        assert is_canonical(result)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=12))
def test_repeated_finds_what_is_covered_twice(raw: list[tuple[int, int]]) -> None:
    spans = np.array([(a, a + n) for a, n in raw], dtype=np.int64).reshape(-1, 2)
    times = np.zeros(60, dtype=int)
    for first, end in spans:
        times[first:end] += 1
    assert members(intervals.repeated(spans)) == set(np.flatnonzero(times > 1).tolist())
    assert members(intervals.union(spans)) == set(np.flatnonzero(times > 0).tolist())


@given(offsets, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=8))
def test_counts_within_intervals(some: list[int], raw: list[tuple[int, int]]) -> None:
    within = np.array([(a, a + n) for a, n in raw], dtype=np.int64).reshape(-1, 2)
    expected = [sum(a <= x < b for x in set(some)) for a, b in within.tolist()]
    assert intervals.counts(intervals.of(some), within).tolist() == expected
