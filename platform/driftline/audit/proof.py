"""Proves that every record of a model's topics has exactly one outcome and all counts agree."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import add

import psycopg
from psycopg import sql

from driftline import names
from driftline.audit import profiles, publication
from driftline.audit.cells import compare_hours, recount_cells
from driftline.audit.duplicates import dangling
from driftline.audit.gather import Scope, Stream, gather
from driftline.audit.profiles import Window
from driftline.audit.report import AuditReport, Difference, StreamCounts
from driftline.audit.stored_offsets import ALL_OFFSETS
from driftline.audit.streams import Verdict, judge
from driftline.config import Config
from driftline.errors import AuditError
from driftline.kafka.topic import Bounds, Topic
from driftline.storage.connection import Connection, connect


def audit(
    config: Config,
    model: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    offsets: Mapping[int, tuple[int, int]] | None = None,
    deep: bool = False,
    complete: bool = False,
) -> AuditReport:
    """Compare the topics, the ledger, the stored rows, the profiles and the output topic.

    The store is read in one snapshot, then the topics to their current ends. Records that are not
    in the snapshot yet are pending. Records that Kafka's retention has deleted are proven by the
    ledger alone; rows that the store's retention has dropped, by ledger and profiles.

    Parameters:
        since, until: only records with Kafka timestamps in [since, until), widened to whole rows
            of the ledger; profiles are compared for the days of their rows.
        offsets: only these offsets by partition of the input topic, [first, end); excludes labels.
        deep: count every cell of the profiles again from the rows.
        complete: the stream has ended: no record may be pending or unpublished.

    Raises:
        AuditError: a topic or partition does not exist or stops responding.
        ConfigError: there is no such model.
        ServiceError: the broker or the database cannot be reached.

    Example:
        `audit(config, "flights-late", complete=True).ok`
    """
    selection = _Selection(since, until, offsets)
    may_reorder = config.model(model).features.sql is not None
    grace = timedelta(0) if complete else publication.grace(config)
    with contextlib.ExitStack() as stack:
        streams = [
            Stream(model, name, stack.enter_context(Topic(config.local_kafka(), topic)))
            for name, topic in _topics(config, model)
            if name == "events" or offsets is None
        ]
        ranges = [selection.bounds(stream.topic) for stream in streams]
        connection = stack.enter_context(_snapshot(config))
        results = {
            stream.name: _judge_stream(
                connection,
                stream,
                bounds,
                whole=selection.whole,
                may_reorder=may_reorder and stream.name == "events",
                complete=complete,
            )
            for stream, bounds in zip(streams, ranges, strict=True)
        }
        scope = None if selection.whole else results["events"].scope
        window = profiles.ALL_TIME if scope is None else _window(connection, model, scope)
        profiled = None
        cells: list[Difference] = []
        if config.model(model).profiles:
            profiled = profiles.compare(connection, model, window)
            if deep:
                cells += recount_cells(connection, model, config.model(model).segments, window)
                cells += compare_hours(connection, model)
        topic_rows, unpublished = publication.compare(connection, config, model, scope, grace)
    events, labels = results["events"], results.get("labels")
    if profiled is not None:
        events = events.explained(profiled.expired, exact=selection.whole)
    else:
        events = _unprofiled(config, events)
    if labels is not None:
        labels = _unprofiled(config, labels)
    return AuditReport(
        model=model,
        made_at=datetime.now(UTC),
        events=events.counts,
        labels=labels.counts if labels else None,
        profiled=profiled.total if profiled and selection.whole else None,
        published=topic_rows.published + topic_rows.expired if topic_rows else None,
        awaiting=topic_rows.awaiting if topic_rows else 0,
        deep=deep,
        differences=(
            *events.differences,
            *(labels.differences if labels else ()),
            *(profiled.differences if profiled else ()),
            *cells,
            *unpublished,
        ),
    )


@dataclass(frozen=True)
class _Selection:
    since: datetime | None
    until: datetime | None
    offsets: Mapping[int, tuple[int, int]] | None

    @property
    def whole(self) -> bool:
        return self.since is None and self.until is None and self.offsets is None

    def bounds(self, topic: Topic) -> Bounds:
        """The requested offsets of each partition of the topic."""
        available = topic.bounds()
        if not available:
            raise AuditError(f"topic {topic.name!r} does not exist: check the config or create it")
        if self.offsets is not None:
            if missing := set(self.offsets) - set(available):
                raise AuditError(f"topic {topic.name!r} has no partition {min(missing)}")
            return dict(self.offsets)
        first = topic.offsets_at(self.since, available) if self.since else {}
        end = topic.offsets_at(self.until, available) if self.until else {}
        return {
            number: (first.get(number, ALL_OFFSETS[0]), end.get(number, ALL_OFFSETS[1]))
            for number in available
        }


@dataclass(frozen=True)
class _StreamResult:
    """The verdicts on all partitions of one stream."""

    scope: Scope
    verdicts: tuple[tuple[str, Verdict], ...]
    counts: StreamCounts
    differences: tuple[Difference, ...]

    @property
    def missing(self) -> int:
        """The number of logged rows that are missing from the store."""
        return sum(verdict.missing for _, verdict in self.verdicts)

    def explained(self, expired: int, *, exact: bool) -> "_StreamResult":
        """The result with missing rows explained by retention.

        Parameters:
            expired: the number of rows that retention has dropped, of all offsets.
            exact: these are all offsets, so the ledger must miss at least as many rows.
        """
        differences = list(self.differences)
        if self.missing > expired:
            differences += [
                Difference.of(
                    "logged lost",
                    where,
                    verdict.candidates,
                    f"{verdict.missing} logged rows are missing; retention explains {expired}",
                )
                for where, verdict in self.verdicts
                if verdict.missing
            ]
        elif exact and expired > self.missing:
            detail = "retention dropped more profiled rows than are missing by the ledger"
            differences.append(
                Difference("profile", "the profiles", expired - self.missing, detail)
            )
        counts = dataclasses.replace(self.counts, expired=min(self.missing, expired))
        return dataclasses.replace(self, counts=counts, differences=tuple(differences))


def _unprofiled(config: Config, result: _StreamResult) -> _StreamResult:
    """The result of an unprofiled stream: retention, if enabled, may explain all missing rows."""
    return result.explained(result.missing if config.storage.keep_rows else 0, exact=False)


def _judge_stream(
    connection: Connection,
    stream: Stream,
    bounds: Bounds,
    *,
    whole: bool,
    may_reorder: bool,
    complete: bool,
) -> _StreamResult:
    pieces, scope = gather(connection, stream, bounds, whole=whole)
    verdicts = tuple(
        (piece.where, judge(piece, may_reorder=may_reorder, complete=complete)) for piece in pieces
    )
    counts = reduce(add, (v.counts for _, v in verdicts), StreamCounts(stream.topic.name))
    differences = [difference for _, v in verdicts for difference in v.differences]
    differences += dangling(connection, stream, scope)
    return _StreamResult(scope, verdicts, counts, tuple(differences))


def _topics(config: Config, model: str) -> list[tuple[str, str]]:
    section = config.model(model)
    topics = [("events", section.input.topic)]
    if section.labels is not None:
        topics.append(("labels", section.labels.topic))
    return topics


@contextlib.contextmanager
def _snapshot(config: Config) -> Iterator[Connection]:
    with connect(config.local_postgres(), "read") as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


def _window(connection: Connection, model: str, scope: Scope) -> Window:
    """The days of event time, in minutes since 1970, that the rows of some offsets touch."""
    row = connection.execute(
        sql.SQL(
            """SELECT floor(date_part('epoch', min(event_time)) / 86400)::bigint * 1440,
                      floor(date_part('epoch', max(event_time)) / 86400)::bigint * 1440 + 1440
                 FROM {} WHERE {}"""
        ).format(sql.Identifier(names.SCHEMA, names.prediction_table(model)), scope.condition())
    ).fetchone()
    return (0, 0) if row is None or row[0] is None else (row[0], row[1])
