"""Checks one source: topic, ledger and rows must agree about each offset."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from driftline.audit.report import Difference, StreamCounts
from driftline.audit.stored_offsets import ALL_OFFSETS, Ledger, OffsetSets
from driftline.kafka import intervals
from driftline.kafka.intervals import Ints
from driftline.kafka.topic import Partition

Bools = npt.NDArray[np.bool_]

#: The outcomes that leave a row, in the order of the ledger's counts; the fourth is filtered.
STORED_OUTCOMES = ("logged", "duplicate", "rejected")


@dataclass(frozen=True)
class Evidence:
    """The evidence about the offsets of one source.

    Attributes:
        where: readable name of the source.
        partition: what the topic holds; None when the model no longer reads that topic.
        stored: for each of `STORED_OUTCOMES`, the offsets of its rows.
        chunks: for each of duplicate and rejected, the times that the table has chunks for.
    """

    where: str
    topic: str
    ledger: Ledger
    partition: Partition | None
    stored: Mapping[str, OffsetSets]
    chunks: Mapping[str, Ints]


@dataclass(frozen=True)
class Verdict:
    """The result for one source.

    Attributes:
        missing: number of missing logged rows; retention may explain them.
        candidates: the offsets that contain the missing rows.
    """

    counts: StreamCounts
    differences: tuple[Difference, ...]
    missing: int
    candidates: Ints


def judge(evidence: Evidence, *, may_reorder: bool, complete: bool) -> Verdict:
    """Compare the evidence about one source.

    Parameters:
        may_reorder: records may be delayed out of order (in the windows of an SQL query), so a gap
            before the last outcome does not prove a loss.
        complete: the stream has ended, so nothing may be pending.
    """
    covered = intervals.union(evidence.ledger.spans)
    partition = evidence.partition or Partition(ALL_OFFSETS[1], ALL_OFFSETS[1])
    unread = intervals.subtract(partition.records, covered)
    gap, pending = _split(unread, covered, may_reorder=may_reorder, complete=complete)
    rows, missing, candidates = _compare_rows(evidence)
    differences = (
        *_topic_differences(evidence.where, covered, partition, gap),
        *_row_differences(evidence, covered),
        *rows,
    )
    totals = dict(
        zip((*STORED_OUTCOMES, "filtered"), evidence.ledger.counts.sum(axis=0), strict=True)
    )
    deleted = intervals.counts(covered, np.array([[ALL_OFFSETS[0], partition.low]]))[0]
    counts = StreamCounts(
        topic=evidence.topic,
        read=intervals.size(partition.records) + int(deleted),
        pending=intervals.size(pending),
        **{name: int(count) for name, count in totals.items()},
    )
    return Verdict(counts, differences, missing, candidates)


def _split(unread: Ints, covered: Ints, *, may_reorder: bool, complete: bool) -> tuple[Ints, Ints]:
    """Records without an outcome: those that are lost, and those that are pending."""
    if complete:
        return unread, intervals.EMPTY
    if may_reorder or len(covered) == 0:
        return intervals.EMPTY, unread
    tail = np.array([[covered[-1, 1], ALL_OFFSETS[1]]])
    return intervals.subtract(unread, tail), intervals.repeated(unread, tail)


def _topic_differences(
    where: str, covered: Ints, partition: Partition, gap: Ints
) -> list[Difference]:
    retained = np.array([[partition.low, ALL_OFFSETS[1]]])
    unexpected = intervals.subtract(intervals.repeated(covered, retained), partition.records)
    candidates = (
        Difference.of("missing", where, gap, "records of the topic have no outcome"),
        Difference.of(
            "not in the topic", where, unexpected, "the ledger holds offsets without a record"
        ),
    )
    return [difference for difference in candidates if difference.count]


def _row_differences(evidence: Evidence, covered: Ints) -> list[Difference]:
    """Faults of single offsets, regardless of the counts."""
    where, stored = evidence.where, evidence.stored
    spans = [offsets.spans for offsets in stored.values()]
    candidates = [
        Difference.of(
            "counted twice",
            where,
            intervals.repeated(evidence.ledger.spans),
            "two ledger rows hold the same offsets",
        ),
        Difference.of(
            "two outcomes",
            where,
            intervals.repeated(*spans),
            "offsets have rows of two outcomes",
        ),
        Difference.of(
            "not in the ledger",
            where,
            intervals.subtract(intervals.union(*spans), covered),
            "rows have offsets that are not in the ledger",
        ),
    ]
    candidates += [
        Difference.of(f"{name} twice", where, offsets.repeated, f"two {name} rows have one offset")
        for name, offsets in stored.items()
    ]
    return [difference for difference in candidates if difference.count]


def _compare_rows(evidence: Evidence) -> tuple[list[Difference], int, Ints]:
    """Compare each ledger row's counts with the rows stored for its offsets."""
    ledger = evidence.ledger
    stored_counts = np.stack(
        [ledger.per_row(evidence.stored[name].spans) for name in STORED_OUTCOMES], axis=1
    )
    missing = ledger.counts[:, :3] - stored_counts
    sizes = np.zeros(len(ledger.counts), dtype=np.int64)
    np.add.at(sizes, ledger.row, ledger.spans[:, 1] - ledger.spans[:, 0])
    is_wrong = (missing < 0).any(axis=1) | (ledger.counts.sum(axis=1) != sizes)
    missing = np.where(is_wrong[:, None], 0, missing)
    lost_rows = {
        name: (missing[:, column] > 0) & ~_expired(evidence, name)
        for column, name in ((1, "duplicate"), (2, "rejected"))
    }
    differences = [
        _lost(evidence, name, rows, int(missing[rows, column].sum()))
        for (name, rows), column in zip(lost_rows.items(), (1, 2), strict=True)
        if rows.any()
    ]
    if is_wrong.any():
        differences.append(_miscounted(evidence, is_wrong))
    candidates = _without_rows(evidence, missing[:, 0] > 0)
    return differences, int(missing[:, 0].sum()), candidates


def _expired(evidence: Evidence, name: str) -> Bools:
    """Which ledger rows are old enough that retention has dropped the rows of their offsets."""
    times = evidence.ledger.committed_at
    within = np.stack((times, times + 1), axis=1)
    expired: Bools = intervals.counts(evidence.chunks[name], within) == 0
    return expired


def _without_rows(evidence: Evidence, rows: Bools) -> Ints:
    """The offsets of some ledger rows that no row of any table contains."""
    stored = intervals.union(*(offsets.spans for offsets in evidence.stored.values()))
    return intervals.subtract(evidence.ledger.spans_of(rows), stored)


def _lost(evidence: Evidence, name: str, rows: Bools, count: int) -> Difference:
    spans = _without_rows(evidence, rows)
    detail = f"{name} rows are missing; they are among these offsets"
    whole = Difference.of(f"{name} lost", evidence.where, spans, detail)
    return Difference(whole.kind, whole.where, count, whole.detail, whole.offsets)


def _miscounted(evidence: Evidence, rows: Bools) -> Difference:
    spans = evidence.ledger.spans_of(rows)
    counts = evidence.ledger.counts[rows].sum(axis=0)
    sizes = [
        intervals.size(intervals.repeated(offsets.spans, spans))
        for offsets in evidence.stored.values()
    ]
    detail = (
        f"the ledger counts logged {counts[0]}, duplicate {counts[1]}, rejected {counts[2]}, "
        f"filtered {counts[3]}; the rows are {sizes[0]}, {sizes[1]}, {sizes[2]}"
    )
    return Difference.of("miscounted", evidence.where, spans, detail)
