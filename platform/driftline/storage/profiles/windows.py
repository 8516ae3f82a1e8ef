"""Profiles of windows of event time: sums of stored rows, recounted where those are too coarse.

Compaction merges old minutes to hours and days. A window that cuts through such a row is recounted
from the predictions, as long as retention has kept them.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from driftline import names
from driftline.errors import SchemaError
from driftline.profile.binning import Binning
from driftline.profile.count import increments
from driftline.profile.profile import Profile
from driftline.storage.connection import Connection
from driftline.storage.log.rows import stream
from driftline.storage.profiles import binnings
from driftline.storage.profiles.profile_rows import COLUMNS, ProfileRow

_MINUTE = timedelta(minutes=1)


class Part(NamedTuple):
    """Which rows of a window a profile counts.

    Attributes:
        role: `served` or `shadow`.
        segment: "" for all rows.
    """

    version: int
    role: str
    segment: str
    binning_id: str


def read(
    connection: Connection,
    model: str,
    since: datetime,
    until: datetime,
    segments: Sequence[str] = (),
) -> list[ProfileRow]:
    """The packed rows of [since, until), none of which extends beyond it; both in whole minutes.

    Parameters:
        segments: requested in addition to all rows, such as `country=de`.

    Raises:
        SchemaError: the window cuts through an hour or day that was merged, and the predictions
            are no longer stored.
    """
    rows = connection.execute(
        f"""SELECT {COLUMNS} FROM driftline.profile
             WHERE model = %(model)s AND segment = ANY(%(segments)s)
               AND bucket < %(until)s AND bucket > %(since)s - interval '1 day'
               AND bucket + span_minutes * interval '1 minute' > %(since)s
             ORDER BY bucket, id""",  # noqa: S608 - a constant
        {
            "model": model,
            "segments": [names.ALL_ROWS, *segments],
            "since": since,
            "until": until,
        },
        binary=True,  # packed cells as bytes, not as hex of twice their length
    ).fetchall()
    packed_rows = [ProfileRow(*row) for row in rows]
    spans = _cut(packed_rows, since, until)
    # late minutes are stored beside the hour that they belong to until both are merged
    served_spans = [span for span in spans if span.role == names.SERVED]
    whole = [
        row
        for row in packed_rows
        if _is_whole(row, since, until) and not any(span.holds(row) for span in served_spans)
    ]
    return whole + _recounted(connection, model, spans, packed_rows)


def sums(rows: Iterable[ProfileRow], binnings_by_id: dict[str, Binning]) -> dict[Part, Profile]:
    """One profile for each version, role, segment and binning among the rows.

    Parameters:
        binnings_by_id: rows of other binnings are omitted.
    """
    packed: dict[Part, list[bytes]] = {}
    for row in rows:
        key = Part(row.version, row.role, row.segment, row.binning_id)
        packed.setdefault(key, []).append(row.cells)
    return {
        part: Profile.of(binnings_by_id[part.binning_id], *cells)
        for part, cells in sorted(packed.items())
        if part.binning_id in binnings_by_id
    }


def counted_until(connection: Connection, model: str) -> datetime | None:
    """The end of the newest counted minute, regardless of the real time; None before any."""
    row = connection.execute(
        """SELECT bucket + span_minutes * interval '1 minute' FROM driftline.profile
            WHERE model = %s ORDER BY bucket DESC LIMIT 1""",
        [model],
    ).fetchone()
    return None if row is None else row[0]


def counted_since(connection: Connection, model: str) -> datetime | None:
    """The start of the oldest counted minute, hour or day."""
    row = connection.execute(
        "SELECT bucket FROM driftline.profile WHERE model = %s ORDER BY bucket LIMIT 1", [model]
    ).fetchone()
    return None if row is None else row[0]


def _end(row: ProfileRow) -> datetime:
    return row.bucket + row.span_minutes * _MINUTE


class _Span(NamedTuple):
    """The part inside the window of an hour or day of one version that the window cuts through."""

    version: int
    role: str
    binning_id: str
    first: datetime
    end: datetime

    def is_of(self, row: ProfileRow) -> bool:
        """Whether a row has the span's version, role and binning."""
        return (self.version, self.role, self.binning_id) == (row.version, row.role, row.binning_id)

    def holds(self, row: ProfileRow) -> bool:
        """Whether recounting the span covers everything that a row counts."""
        return self.is_of(row) and self.first <= row.bucket and _end(row) <= self.end


def _is_whole(row: ProfileRow, since: datetime, until: datetime) -> bool:
    return since <= row.bucket and _end(row) <= until


def _cut(stored: list[ProfileRow], since: datetime, until: datetime) -> list[_Span]:
    """The spans to recount: rows that the window cuts through, and all rows that overlap them."""

    def part(row: ProfileRow) -> tuple[int, str, str]:
        return row.version, row.role, row.binning_id

    spans: list[_Span] = []
    for key, rows in groupby(sorted(stored, key=lambda row: (part(row), row.bucket)), key=part):
        for group in _overlapping(list(rows)):
            if not all(_is_whole(row, since, until) for row in group):
                end = max(map(_end, group))
                spans.append(_Span(*key, max(group[0].bucket, since), min(end, until)))
    return spans


def _overlapping(rows: list[ProfileRow]) -> Iterator[list[ProfileRow]]:
    """Rows in order of their buckets, in groups none of which overlaps with another."""
    group = rows[:1]
    end = _end(rows[0])
    for row in rows[1:]:
        if row.bucket >= end:
            yield group
            group = []
        group.append(row)
        end = max(end, _end(row))
    yield group


def _recounted(
    connection: Connection, model: str, spans: list[_Span], packed_rows: list[ProfileRow]
) -> list[ProfileRow]:
    """The recounted minutes of hours and days that the window cuts through."""
    recounted: list[ProfileRow] = []
    for span in spans:
        _require_rows(connection, model, span.first)
        if span.role != names.SERVED:
            continue  # shadow rows hold no features: their hours and days are not recounted
        binning = binnings.read(connection, span.binning_id)
        segments = {row.segment for row in packed_rows if span.is_of(row)}
        columns = tuple(sorted({s.partition("=")[0] for s in segments if s != names.ALL_ROWS}))
        for batch in _raw(connection, model, span.version, binning, (span.first, span.end)):
            recounted += [
                ProfileRow(bucket, 1, span.version, span.role, segment, span.binning_id, n, cells)
                for bucket, segment, n, cells in _increments(batch, binning, columns)
                if segment in segments
            ]
    return recounted


def _increments(
    batch: pa.RecordBatch, binning: Binning, segments: tuple[str, ...]
) -> Iterable[tuple[datetime, str, int, bytes]]:
    counted = increments(batch, binning, segments)
    return zip(*(counted.column(name).to_pylist() for name in counted.schema.names), strict=True)


def _raw(
    connection: Connection,
    model: str,
    version: int,
    binning: Binning,
    window: tuple[datetime, datetime],
) -> Iterable[pa.RecordBatch]:
    """The stored predictions of one version, with the columns of its binning."""
    query = sql.SQL(
        """SELECT (extract(epoch FROM event_time) * 1000000)::bigint AS {time}, {columns}
             FROM {table}
            WHERE event_time >= {since} AND event_time < {until} AND model_version = {version}"""
    ).format(
        time=sql.Identifier(names.EVENT_TIME),
        columns=sql.SQL(", ").join(sql.Identifier(bins.name) for bins in binning.columns),
        table=sql.Identifier(names.SCHEMA, names.prediction_table(model)),
        since=sql.Literal(window[0]),
        until=sql.Literal(window[1]),
        version=sql.Literal(version),
    )
    for batch in stream(connection, query, None):
        time = pc.cast(batch.column(names.EVENT_TIME), pa.timestamp("us", tz="UTC"))
        columns = [name for name in batch.schema.names if name != names.EVENT_TIME]
        yield pa.RecordBatch.from_arrays(
            [time, *(batch.column(name) for name in columns)],
            names=[names.EVENT_TIME, *columns],
        )


def _require_rows(connection: Connection, model: str, time: datetime) -> None:
    query = sql.SQL("SELECT min(event_time) <= {} FROM {}").format(
        sql.Literal(time + timedelta(days=1)),
        sql.Identifier(names.SCHEMA, names.prediction_table(model)),
    )
    if connection.execute(query).fetchone() != (True,):
        raise SchemaError(
            f"the profiles of model {model!r} at {time.astimezone(UTC):%Y-%m-%d %H:%M} were merged "
            "to hours or days and its rows were deleted: use windows of whole days"
        )
