"""Judging one source: a consistent story passes, and any single change of it is found."""

from dataclasses import replace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from driftline.audit.stored_offsets import Ledger, OffsetSets
from driftline.audit.streams import STORED_OUTCOMES, Evidence, judge
from driftline.kafka import intervals
from driftline.kafka.topic import Partition

ALL_TIME = np.array([[-(1 << 62), 1 << 62]], dtype=np.int64)


def found(offsets: list[int]) -> OffsetSets:
    distinct, times = np.unique(np.array(offsets, dtype=np.int64), return_counts=True)
    return OffsetSets(intervals.of(distinct), intervals.of(distinct[times > 1]))


@st.composite
def stories(draw: st.DrawFn) -> tuple[Evidence, list[int]]:
    """A source whose batches are settled, with gaps (markers); gives the offset of each record."""
    gaps = draw(st.lists(st.integers(1, 3), min_size=1, max_size=40))
    offsets = np.cumsum(gaps).tolist()
    outcome = draw(st.lists(st.integers(0, 3), min_size=len(offsets), max_size=len(offsets)))
    cuts = draw(st.sets(st.integers(1, len(offsets)), max_size=4))
    batches = np.split(np.arange(len(offsets)), sorted(cuts))
    batches = [batch for batch in batches if len(batch)]
    spans, row = [], []
    for number, batch in enumerate(batches):
        some = intervals.of([offsets[i] for i in batch])
        spans.append(some)
        row += [number] * len(some)
    counts = [np.bincount([outcome[i] for i in batch], minlength=4) for batch in batches]
    ledger = Ledger(
        committed_at=np.zeros(len(batches), dtype=np.int64),
        counts=np.array(counts, dtype=np.int64).reshape(-1, 4),
        spans=np.concatenate(spans),
        row=np.array(row),
    )
    end = offsets[-1] + draw(st.integers(1, 3))
    evidence = Evidence(
        where="events t[0]",
        topic="t",
        ledger=ledger,
        partition=Partition(0, end, intervals.of(offsets)),
        stored={
            name: found([o for o, kind in zip(offsets, outcome, strict=True) if kind == index])
            for index, name in enumerate(STORED_OUTCOMES)
        },
        chunks=dict.fromkeys(STORED_OUTCOMES[1:], ALL_TIME),
    )
    return evidence, offsets


@given(stories())
def test_a_consistent_story_passes(story: tuple[Evidence, list[int]]) -> None:
    evidence, offsets = story
    verdict = judge(evidence, may_reorder=False, complete=True)
    assert (verdict.differences, verdict.missing) == ((), 0)
    counts = verdict.counts
    settled = counts.logged + counts.duplicate + counts.rejected + counts.filtered
    assert counts.read == settled == len(offsets)


@given(stories(), st.data())
def test_a_row_that_is_gone_is_found(
    story: tuple[Evidence, list[int]], data: st.DataObject
) -> None:
    evidence, _ = story
    name = data.draw(st.sampled_from(STORED_OUTCOMES))
    spans = evidence.stored[name].spans
    assume(intervals.size(spans))
    lost = data.draw(st.sampled_from([o for a, b in spans.tolist() for o in range(a, b)]))
    left = OffsetSets(intervals.subtract(spans, intervals.of([lost])), intervals.EMPTY)
    verdict = judge(
        replace(evidence, stored={**evidence.stored, name: left}), may_reorder=False, complete=True
    )
    if name == "logged":
        assert verdict.missing == 1
        assert intervals.size(intervals.repeated(verdict.candidates, intervals.of([lost]))) == 1
    else:
        (one,) = verdict.differences
        assert (one.kind, one.count) == (f"{name} lost", 1)
        expired = replace(
            evidence,
            stored={**evidence.stored, name: left},
            chunks={**evidence.chunks, name: intervals.EMPTY},
        )
        assert judge(expired, may_reorder=False, complete=True).differences == ()


@given(stories(), st.data())
def test_a_record_without_an_outcome_is_found(
    story: tuple[Evidence, list[int]], data: st.DataObject
) -> None:
    evidence, offsets = story
    end = offsets[-1] + 1
    free = sorted(set(range(end + 3)) - set(offsets))
    extra = data.draw(st.sampled_from(free))
    records = intervals.of([*offsets, extra])
    more = replace(evidence, partition=Partition(0, end + 3, records))
    live = judge(more, may_reorder=False, complete=False)
    waiting = judge(more, may_reorder=True, complete=False)
    complete = judge(more, may_reorder=True, complete=True)
    assert [one.kind for one in complete.differences] == ["missing"]
    assert (waiting.differences, waiting.counts.pending) == ((), 1)
    is_tail = extra >= end
    assert live.counts.pending == int(is_tail)
    assert [one.kind for one in live.differences] == ([] if is_tail else ["missing"])


@given(stories(), st.data())
def test_records_that_kafka_deleted_need_no_topic(
    story: tuple[Evidence, list[int]], data: st.DataObject
) -> None:
    evidence, offsets = story
    low = data.draw(st.integers(0, offsets[-1] + 1))
    left = intervals.of([offset for offset in offsets if offset >= low])
    trimmed = replace(evidence, partition=Partition(low, offsets[-1] + 1, left))
    verdict = judge(trimmed, may_reorder=False, complete=True)
    assert verdict.differences == ()
    assert verdict.counts.read == len(offsets)
    gone = judge(replace(evidence, partition=None), may_reorder=False, complete=True)
    assert gone.differences == ()
    assert gone.counts.read == len(offsets)


@given(stories(), st.data())
def test_a_count_that_is_wrong_is_found(
    story: tuple[Evidence, list[int]], data: st.DataObject
) -> None:
    evidence, _ = story
    counts = evidence.ledger.counts.copy()
    row = data.draw(st.integers(0, len(counts) - 1))
    column = data.draw(st.integers(0, 3))
    counts[row, column] += data.draw(st.sampled_from([-1, 1]))
    assume(counts[row, column] >= 0)
    wrong = replace(evidence, ledger=replace(evidence.ledger, counts=counts))
    kinds = [one.kind for one in judge(wrong, may_reorder=False, complete=True).differences]
    assert kinds == ["miscounted"]
