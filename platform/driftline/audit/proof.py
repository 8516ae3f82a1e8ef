"""The proof that every record of a model's topics has exactly one outcome, and all counts agree."""

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
from driftline.audit.stored_offsets import EVERYTHING
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

    The store is read in one snapshot; then the topics, to the ends that they have then. Records
    that the snapshot does not know yet are pending. What Kafka's retention has deleted is proven
    by the ledger alone; what the store's retention has dropped, by ledger and profiles.

    Parameters:
        since, until: only records with Kafka timestamps in [since, until), widened to whole rows
            of the ledger; profiles are compared for the days of their rows.
        offsets: the same by partition of the input topic, [first, end); without labels.
        deep: count every cell of the profiles again from the rows.
        complete: the stream has ended: nothing may be pending or on its way.

    Raises:
        AuditError: there is nothing to read: no such topic or partition, or it goes silent.
        ConfigError: there is no such model.
        ServiceError: the broker or the database cannot be reached.

    Example:
        `audit(config, "flights-late", complete=True).ok`
    """
    asked = _Asked(since, until, offsets)
    waits = config.model(model).features.sql is not None
    allowed = timedelta(0) if complete else publication.grace(config)
    with contextlib.ExitStack() as stack:
        streams = [
            Stream(model, name, stack.enter_context(Topic(config.local_kafka(), topic)))
            for name, topic in _topics(config, model)
            if name == "events" or offsets is None
        ]
        wanted = [asked.bounds(stream.topic) for stream in streams]
        connection = stack.enter_context(_snapshot(config))
        judged = {
            stream.name: _judge(
                connection,
                stream,
                bounds,
                whole=asked.whole,
                waits=waits and stream.name == "events",
                complete=complete,
            )
            for stream, bounds in zip(streams, wanted, strict=True)
        }
        scope = None if asked.whole else judged["events"].scope
        window = profiles.ALWAYS if scope is None else _window(connection, model, scope)
        profiled = None
        cells: list[Difference] = []
        if config.model(model).profiles:
            profiled = profiles.compare(connection, model, window)
            if deep:
                cells += recount_cells(connection, model, config.model(model).segments, window)
                cells += compare_hours(connection, model)
        there, unpublished = publication.compare(connection, config, model, scope, allowed)
    events, labels = judged["events"], judged.get("labels")
    if profiled is not None:
        events = events.explained(profiled.expired, exact=asked.whole)
    else:
        events = _unprofiled(config, events)
    if labels is not None:
        labels = _unprofiled(config, labels)
    return AuditReport(
        model=model,
        made_at=datetime.now(UTC),
        events=events.counts,
        labels=labels.counts if labels else None,
        profiled=profiled.total if profiled and asked.whole else None,
        published=there.published + there.expired if there else None,
        awaiting=there.awaiting if there else 0,
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
class _Asked:
    since: datetime | None
    until: datetime | None
    offsets: Mapping[int, tuple[int, int]] | None

    @property
    def whole(self) -> bool:
        return self.since is None and self.until is None and self.offsets is None

    def bounds(self, topic: Topic) -> Bounds:
        """The offsets asked for, of each partition that the topic has."""
        there = topic.bounds()
        if not there:
            raise AuditError(f"there is no topic {topic.name!r}: check the config, or create it")
        if self.offsets is not None:
            if unknown := set(self.offsets) - set(there):
                raise AuditError(f"topic {topic.name!r} has no partition {min(unknown)}")
            return dict(self.offsets)
        first = topic.offsets_at(self.since, there) if self.since else {}
        end = topic.offsets_at(self.until, there) if self.until else {}
        return {
            number: (first.get(number, EVERYTHING[0]), end.get(number, EVERYTHING[1]))
            for number in there
        }


@dataclass(frozen=True)
class _Judged:
    """One stream: the verdicts on its partitions together."""

    scope: Scope
    verdicts: tuple[tuple[str, Verdict], ...]
    counts: StreamCounts
    differences: tuple[Difference, ...]

    @property
    def gone(self) -> int:
        """How many logged rows are not in the store."""
        return sum(verdict.gone for _, verdict in self.verdicts)

    def explained(self, expired: int, *, exact: bool) -> "_Judged":
        """With the rows that retention has dropped set against the rows that are gone.

        Parameters:
            expired: how many retention has dropped, from all offsets.
            exact: these are all offsets, so none of them may be left over either.
        """
        differences = list(self.differences)
        if self.gone > expired:
            differences += [
                Difference.of(
                    "logged lost",
                    where,
                    verdict.candidates,
                    f"{verdict.gone} logged rows are gone, and retention explains {expired} of all",
                )
                for where, verdict in self.verdicts
                if verdict.gone
            ]
        elif exact and expired > self.gone:
            detail = "more rows of times that the store has dropped than the ledger misses"
            differences.append(Difference("profile", "the profiles", expired - self.gone, detail))
        counts = dataclasses.replace(self.counts, expired=min(self.gone, expired))
        return dataclasses.replace(self, counts=counts, differences=tuple(differences))


def _unprofiled(config: Config, judged: _Judged) -> _Judged:
    """Without a profile to tell: where retention is on, it may have taken any of the rows."""
    return judged.explained(judged.gone if config.storage.keep_rows else 0, exact=False)


def _judge(
    connection: Connection,
    stream: Stream,
    wanted: Bounds,
    *,
    whole: bool,
    waits: bool,
    complete: bool,
) -> _Judged:
    pieces, scope = gather(connection, stream, wanted, whole=whole)
    verdicts = tuple(
        (piece.where, judge(piece, waits=waits, complete=complete)) for piece in pieces
    )
    counts = reduce(add, (v.counts for _, v in verdicts), StreamCounts(stream.topic.name))
    differences = [one for _, verdict in verdicts for one in verdict.differences]
    differences += dangling(connection, stream, scope)
    return _Judged(scope, verdicts, counts, tuple(differences))


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
