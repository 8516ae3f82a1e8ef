"""Collects the evidence of topic and store about each partition of one stream."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import sql

from driftline import names
from driftline.audit import stored_offsets
from driftline.audit.stored_offsets import ALL_OFFSETS, NO_OFFSETS, Ledger, Source
from driftline.audit.streams import STORED_OUTCOMES, Evidence
from driftline.kafka import intervals
from driftline.kafka.topic import Bounds, Partition, Topic
from driftline.storage.connection import Connection


@dataclass(frozen=True)
class Stream:
    """Events or labels of one model, and the table that their rows go to."""

    model: str
    name: str
    topic: Topic

    @property
    def table(self) -> str:
        """Where a logged record of this stream becomes a row."""
        return "label" if self.name == "labels" else names.prediction_table(self.model)


@dataclass(frozen=True)
class Scope:
    """The audited offsets of a stream's own topic, by source ID."""

    bounds: Mapping[int, tuple[int, int]]

    def condition(self) -> sql.Composable:
        """SQL that selects the rows of these offsets."""
        parts = [
            sql.SQL("(source = {} AND kafka_offset >= {} AND kafka_offset < {})").format(
                sql.Literal(source), sql.Literal(first), sql.Literal(end)
            )
            for source, (first, end) in self.bounds.items()
        ]
        return sql.SQL(" OR ").join(parts) if parts else sql.SQL("false")


def gather(
    connection: Connection, stream: Stream, requested: Bounds, *, whole: bool
) -> tuple[list[Evidence], Scope]:
    """Collect the evidence about the offsets of a stream.

    Parameters:
        connection: in a transaction that sees one snapshot, taken before the topic is read.
        requested: the offsets to audit, by partition of the stream's topic.
        whole: also audit the topics that the model read earlier, which only the ledger can prove.
    """
    sources = stored_offsets.sources(connection, stream.model)
    sources = [source for source in sources if source.stream == stream.name]
    present = {s.partition: s for s in sources if s.topic == stream.topic.name}
    ledgers: dict[int, Ledger] = {}
    bounds: dict[int, tuple[int, int]] = {}
    for number, source in present.items():
        if number in requested:
            ledgers[source.id], bounds[source.id] = _widen(connection, source.id, requested[number])
    for source in sources if whole else ():
        if source.id not in bounds:
            ledgers[source.id], bounds[source.id] = _widen(connection, source.id, ALL_OFFSETS)
    widened = {n: bounds[s.id] for n, s in present.items() if n in requested}
    read = _read(stream.topic, requested, widened)
    tables = dict(zip(STORED_OUTCOMES, (stream.table, "duplicate", "rejected"), strict=True))
    offsets = {k: stored_offsets.offsets(connection, table, bounds) for k, table in tables.items()}
    chunks = {name: stored_offsets.chunks(connection, name) for name in STORED_OUTCOMES[1:]}
    pieces = [
        Evidence(
            where=str(source),
            topic=stream.topic.name,
            ledger=ledgers[source.id],
            partition=read.get(source.partition) if source.topic == stream.topic.name else None,
            stored={name: sets.get(source.id, NO_OFFSETS) for name, sets in offsets.items()},
            chunks=chunks,
        )
        for source in sources
        if source.id in bounds
    ]
    pieces += [
        _unread(stream, number, part) for number, part in read.items() if number not in present
    ]
    return pieces, Scope(bounds)


def _widen(
    connection: Connection, source: int, bounds: tuple[int, int]
) -> tuple[Ledger, tuple[int, int]]:
    """The ledger rows that touch the bounds, and bounds that hold those rows whole."""
    while True:
        ledger = stored_offsets.ledger(connection, source, bounds)
        wider = bounds
        if len(ledger.spans):
            wider = (
                min(bounds[0], int(ledger.spans[:, 0].min())),
                max(bounds[1], int(ledger.spans[:, 1].max())),
            )
        if wider == bounds:
            return ledger, bounds
        bounds = wider


def _read(topic: Topic, requested: Bounds, widened: Bounds) -> dict[int, Partition]:
    available = topic.bounds()
    limits = {}
    for number, (first, end) in {**requested, **widened}.items():
        low, high = available[number]
        limits[number] = (min(max(low, first), high), min(end, high))
    return topic.read(limits)


def _unread(stream: Stream, number: int, partition: Partition) -> Evidence:
    """A partition that no record was ever read from."""
    empty = intervals.EMPTY
    return Evidence(
        where=str(Source(0, stream.name, stream.topic.name, number)),
        topic=stream.topic.name,
        ledger=Ledger(empty[:, 0], empty[:, :1].repeat(4, axis=1), empty, empty[:, 0]),
        partition=partition,
        stored=dict.fromkeys(STORED_OUTCOMES, NO_OFFSETS),
        chunks=dict.fromkeys(STORED_OUTCOMES[1:], empty),
    )
