"""Comparing rows with records agrees with counting them one by one."""

from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from driftline.audit.output_topic import PUBLISHED, STORED, Publication, Read, compare
from driftline.kafka import intervals
from driftline.kafka.topic import Partition

# few ids and times, so that most things happen more than once
keys = st.tuples(st.sampled_from("abc"), st.integers(0, 2))
rows = st.lists(st.tuples(keys, st.integers(0, 999), st.sampled_from([0.5, None])), max_size=8)
records = st.lists(st.tuples(keys, st.sampled_from([0.5, 0.25, None])), max_size=8)

Row = tuple[tuple[str, int], int, float | None]
Record = tuple[tuple[str, int], float | None]


def stored(some: list[Row], age_ms: int = 10**9) -> pa.Table:
    columns: list[Any] = [
        [name for (name, _), _, _ in some],
        [ms for (_, ms), _, _ in some],
        [ms * 1_000 + us for (_, ms), us, _ in some],
        [1] * len(some),
        [score for _, _, score in some],
        [age_ms] * len(some),
    ]
    return pa.table(columns, schema=STORED)


def topic(some: list[Record], low: int = 0, partition: int = 0) -> Read:
    columns: list[Any] = [
        [name for (name, _), _ in some],
        [ms for (_, ms), _ in some],
        [1] * len(some),
        [score for _, score in some],
        [partition] * len(some),
        range(low, low + len(some)),
    ]
    part = Partition(low, low + len(some), intervals.of(np.arange(low, low + len(some))))
    return Read(pa.table(columns, schema=PUBLISHED), [], {partition: part})


def settled(some: list[Row], others: list[Record]) -> Publication:
    return compare(stored(some), topic(others), timedelta(0))


@given(rows, records)
def test_rows_and_records_are_paired_by_id_and_millisecond(
    some: list[Row], others: list[Record]
) -> None:
    found = settled(some, others)
    wanted = Counter(key for key, _, _ in some)
    there = Counter(key for key, _ in others)
    both = wanted.keys() & there.keys()
    assert found.published == sum(min(wanted[key], there[key]) for key in both)
    assert found.missing.num_rows == sum((wanted - there).values())
    surplus = {key: there[key] - wanted[key] for key in both if there[key] > wanted[key]}
    doubled = found.repeated.to_pylist()
    assert {(one["event_id"], one["ms"]): one["n"] for one in doubled} == surplus
    strangers = Counter((one["event_id"], one["ms"]) for one in found.unknown.to_pylist())
    assert strangers == {key: there[key] for key in there.keys() - wanted.keys()}
    scores = {key: {score for other, _, score in some if other == key} for key in wanted}
    wrong = [n for n, (key, score) in enumerate(others) if key in both and score not in scores[key]]
    assert sorted(found.different["offset"].to_pylist()) == wrong


def test_young_rows_may_be_on_their_way() -> None:
    some: list[Row] = [(("a", 0), 0, 0.5)]
    found = compare(stored(some, age_ms=5_000), topic([]), timedelta(seconds=6))
    assert (found.published, found.awaiting, found.missing.num_rows) == (0, 1, 0)
    found = compare(stored(some, age_ms=5_000), topic([]), timedelta(seconds=4))
    assert (found.published, found.awaiting, found.missing.num_rows) == (0, 0, 1)


def test_rows_older_than_what_kafka_has_kept_are_not_missed() -> None:
    some: list[Row] = [(("a", 0), 0, 0.5), (("b", 0), 0, 0.5), (("c", 0), 0, 0.5)]
    ages = pa.array([3_000, 2_000, 1_000], pa.int64())
    rows = stored(some).set_column(STORED.get_field_index("age_ms"), "age_ms", ages)
    found = compare(rows, topic([(("b", 0), 0.5)], low=7), timedelta(0))
    assert (found.published, found.expired) == (1, 1)
    assert found.missing["event_id"].to_pylist() == ["c"]
    assert compare(rows, topic([], low=7), timedelta(0)).expired == 3
