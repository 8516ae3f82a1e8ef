"""One source: do the topic, the ledger and the rows tell the same story about each offset?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from driftline.audit.report import Difference, StreamCounts
from driftline.audit.stored_offsets import EVERYTHING, Found, Ledger
from driftline.kafka import intervals
from driftline.kafka.intervals import Ints
from driftline.kafka.topic import Partition

Bools = npt.NDArray[np.bool_]

#: The outcomes that leave a row, in the order of the ledger's counts; the fourth is filtered.
KEPT = ("logged", "duplicate", "rejected")


@dataclass(frozen=True)
class Evidence:
    """All that is known about the offsets of one source.

    Attributes:
        where: its name for a person.
        partition: what the topic holds; None when the model no longer reads that topic.
        found: for each of `KEPT`, the offsets of its rows.
        chunks: for each of duplicate and rejected, the times that the table has chunks for.
    """

    where: str
    topic: str
    ledger: Ledger
    partition: Partition | None
    found: Mapping[str, Found]
    chunks: Mapping[str, Ints]


@dataclass(frozen=True)
class Verdict:
    """What one source comes to.

    Attributes:
        gone: how many logged rows are gone; retention may explain them.
        candidates: the offsets among which those are.
    """

    counts: StreamCounts
    differences: tuple[Difference, ...]
    gone: int
    candidates: Ints


def judge(evidence: Evidence, *, waits: bool, complete: bool) -> Verdict:
    """Compare what is known about one source.

    Parameters:
        waits: records may be held back out of order (in the windows of an SQL query), so a gap
            before the last outcome is no proof of a loss.
        complete: the stream has ended, so nothing may be pending.
    """
    covered = intervals.union(evidence.ledger.spans)
    partition = evidence.partition or Partition(EVERYTHING[1], EVERYTHING[1])
    unread = intervals.subtract(partition.records, covered)
    gap, pending = _split(unread, covered, waits=waits, complete=complete)
    rows, gone, candidates = _compare_rows(evidence)
    differences = (
        *_topic_differences(evidence.where, covered, partition, gap),
        *_row_differences(evidence, covered),
        *rows,
    )
    totals = dict(zip((*KEPT, "filtered"), evidence.ledger.counts.sum(axis=0), strict=True))
    deleted = intervals.counts(covered, np.array([[EVERYTHING[0], partition.low]]))[0]
    counts = StreamCounts(
        topic=evidence.topic,
        read=intervals.size(partition.records) + int(deleted),
        pending=intervals.size(pending),
        **{name: int(count) for name, count in totals.items()},
    )
    return Verdict(counts, differences, gone, candidates)


def _split(unread: Ints, covered: Ints, *, waits: bool, complete: bool) -> tuple[Ints, Ints]:
    """Records without an outcome: those that are lost, and those that are pending."""
    if complete:
        return unread, intervals.EMPTY
    if waits or len(covered) == 0:
        return intervals.EMPTY, unread
    tail = np.array([[covered[-1, 1], EVERYTHING[1]]])
    return intervals.subtract(unread, tail), intervals.repeated(unread, tail)


def _topic_differences(
    where: str, covered: Ints, partition: Partition, gap: Ints
) -> list[Difference]:
    there = np.array([[partition.low, EVERYTHING[1]]])
    strangers = intervals.subtract(intervals.repeated(covered, there), partition.records)
    candidates = (
        Difference.of("missing", where, gap, "records of the topic have no outcome"),
        Difference.of(
            "not in the topic", where, strangers, "the ledger holds offsets that have no record"
        ),
    )
    return [one for one in candidates if one.count]


def _row_differences(evidence: Evidence, covered: Ints) -> list[Difference]:
    """What is wrong with single offsets, whatever the counts say."""
    where, found = evidence.where, evidence.found
    sets = [one.spans for one in found.values()]
    candidates = [
        Difference.of(
            "counted twice",
            where,
            intervals.repeated(evidence.ledger.spans),
            "two rows of the ledger hold the same offsets",
        ),
        Difference.of(
            "two outcomes",
            where,
            intervals.repeated(*sets),
            "an offset has rows of two outcomes",
        ),
        Difference.of(
            "not in the ledger",
            where,
            intervals.subtract(intervals.union(*sets), covered),
            "rows have offsets that the ledger does not hold",
        ),
    ]
    candidates += [
        Difference.of(f"{name} twice", where, one.repeated, f"two {name} rows have one offset")
        for name, one in found.items()
    ]
    return [one for one in candidates if one.count]


def _compare_rows(evidence: Evidence) -> tuple[list[Difference], int, Ints]:
    """Each ledger row's counts against the rows found for its offsets."""
    ledger = evidence.ledger
    found = np.stack([ledger.per_row(evidence.found[name].spans) for name in KEPT], axis=1)
    short = ledger.counts[:, :3] - found
    sizes = np.zeros(len(ledger.counts), dtype=np.int64)
    np.add.at(sizes, ledger.row, ledger.spans[:, 1] - ledger.spans[:, 0])
    wrong = (short < 0).any(axis=1) | (ledger.counts.sum(axis=1) != sizes)
    short = np.where(wrong[:, None], 0, short)
    lost = {
        name: (short[:, column] > 0) & ~_expired(evidence, name)
        for column, name in ((1, "duplicate"), (2, "rejected"))
    }
    differences = [
        _lost(evidence, name, rows, int(short[rows, column].sum()))
        for (name, rows), column in zip(lost.items(), (1, 2), strict=True)
        if rows.any()
    ]
    if wrong.any():
        differences.append(_miscounted(evidence, wrong))
    candidates = _without_rows(evidence, short[:, 0] > 0)
    return differences, int(short[:, 0].sum()), candidates


def _expired(evidence: Evidence, name: str) -> Bools:
    """Which ledger rows are so old that retention has dropped the table's rows beside them."""
    at = evidence.ledger.committed_at
    within = np.stack((at, at + 1), axis=1)
    expired: Bools = intervals.counts(evidence.chunks[name], within) == 0
    return expired


def _without_rows(evidence: Evidence, rows: Bools) -> Ints:
    """The offsets of some ledger rows that no row of any table has."""
    known = intervals.union(*(one.spans for one in evidence.found.values()))
    return intervals.subtract(evidence.ledger.spans_of(rows), known)


def _lost(evidence: Evidence, name: str, rows: Bools, count: int) -> Difference:
    spans = _without_rows(evidence, rows)
    detail = f"{name} rows are gone; they are among these offsets"
    whole = Difference.of(f"{name} lost", evidence.where, spans, detail)
    return Difference(whole.kind, whole.where, count, whole.detail, whole.offsets)


def _miscounted(evidence: Evidence, rows: Bools) -> Difference:
    spans = evidence.ledger.spans_of(rows)
    counts = evidence.ledger.counts[rows].sum(axis=0)
    found = [
        intervals.size(intervals.repeated(one.spans, spans)) for one in evidence.found.values()
    ]
    detail = (
        f"the ledger counts logged {counts[0]}, duplicate {counts[1]}, rejected {counts[2]}, "
        f"filtered {counts[3]}; the rows are {found[0]}, {found[1]}, {found[2]}"
    )
    return Difference.of("miscounted", evidence.where, spans, detail)
