"""The result of an audit: counts that must agree, and where they differ."""

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime

from driftline.kafka import intervals
from driftline.kafka.intervals import Ints

_SHOWN = 20  # ranges of offsets in one difference


@dataclass(frozen=True)
class Difference:
    """One disagreement.

    Attributes:
        kind: the type of disagreement, in two or three words.
        where: the partition, the profile or the output topic.
        count: number of affected offsets, rows or records.
        offsets: the first affected offsets, as (first, last) pairs.
        detail: description for people.
    """

    kind: str
    where: str
    count: int
    detail: str
    offsets: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, kind: str, where: str, spans: Ints, detail: str) -> "Difference":
        """A difference about a set of offsets."""
        shown = tuple((first, end - 1) for first, end in spans[:_SHOWN].tolist())
        return cls(kind, where, intervals.size(spans), detail, shown)


@dataclass(frozen=True)
class StreamCounts:
    """Outcomes of the records of one stream.

    Attributes:
        read: records in the topic, and those that Kafka has deleted but the ledger holds.
        pending: records that have no outcome yet.
        expired: logged rows that retention has dropped from the store; part of `logged`.
    """

    topic: str
    read: int = 0
    logged: int = 0
    duplicate: int = 0
    rejected: int = 0
    filtered: int = 0
    pending: int = 0
    expired: int = 0

    def __add__(self, other: "StreamCounts") -> "StreamCounts":
        counts = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in dataclasses.fields(self)
            if field.name != "topic"
        }
        return StreamCounts(self.topic, **counts)


@dataclass(frozen=True)
class AuditReport:
    """The proof, or where it fails.

    Attributes:
        events, labels: outcomes of the records of each stream; None without a topic, or if not
            requested.
        profiled: rows that the profiles count; None for a part of the topic, where profiles are
            compared for the minutes of its rows alone, and for a model without profiles.
        published: logged rows in the output topic; None without an output topic.
        awaiting: logged rows missing from the output topic, but within the grace period.
        deep: whether every cell of the profiles was counted again, of all roles and segments.
        differences: empty when all agrees.
    """

    model: str
    made_at: datetime
    events: StreamCounts
    labels: StreamCounts | None
    profiled: int | None
    published: int | None
    awaiting: int
    deep: bool
    differences: tuple[Difference, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing differs; pending records do not count as differences."""
        return not self.differences

    @property
    def not_compared(self) -> tuple[str, ...]:
        """What this audit did not compare."""
        cells = "cells of profiles, by segment and of shadows, and sums of hours (see --deep)"
        contents = "the contents of rows, labels and rejected messages with those of the topics"
        return (contents,) if self.deep or self.profiled is None else (cells, contents)

    def to_json(self) -> str:
        """The report as JSON."""
        content = {
            **dataclasses.asdict(self),
            "made_at": self.made_at.isoformat(),
            "not_compared": self.not_compared,
            "ok": self.ok,
        }
        return json.dumps(content, indent=2)
