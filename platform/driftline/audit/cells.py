"""Checks every cell of the profiles, of each role and segment, against the rows."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from driftline import names
from driftline.audit.profiles import ALL_TIME, DAY, PROFILES, Window, is_stored, minutes, time_of
from driftline.audit.report import Difference
from driftline.audit.stored_offsets import chunks
from driftline.kafka import intervals
from driftline.kafka.intervals import Ints
from driftline.profile.binning import Binning
from driftline.profile.profile import Profile
from driftline.profile.recount import labels, recount
from driftline.storage.connection import Connection
from driftline.storage.log.rows import stream
from driftline.storage.profiles import dirty_minutes, hours
from driftline.storage.tables import shadow_table

_PACKED = sql.SQL(
    """SELECT * FROM (SELECT floor(date_part('epoch', p.bucket) / 86400)::bigint AS day,
                             p.version, p.binning_id, p.segment, p.cells {profiles}) AS packed
        WHERE day >= %(first)s AND day < %(end)s ORDER BY day, version, binning_id, segment"""
).format(profiles=PROFILES)

# The day on which a column began to split the profiles, if after the first: a day split in part.
_SPLIT_SINCE = sql.SQL(
    """SELECT floor(date_part('epoch', split) / 86400)::bigint
         FROM (SELECT min(p.bucket) FILTER (WHERE starts_with(p.segment, %(prefix)s)) AS split,
                      min(p.bucket) AS first {profiles}) AS begun
        WHERE split > first"""
).format(profiles=PROFILES)

_Stored = Mapping[str, Profile]  # by segment
_Key = tuple[object, ...]  # version, role, segment, binning


def recount_cells(
    connection: Connection, model: str, segments: Sequence[str], window: Window = ALL_TIME
) -> Iterator[Difference]:
    """Count every cell of the profiles again from the rows, day by day.

    Skips days whose rows retention has dropped, in whole or in part, and for a column that began to
    split the profiles later than their start, the days up to then.

    Parameters:
        segments: the columns that split the profiles.
    """
    binnings = {
        str(key): Binning.from_json(spec)
        for key, spec in connection.execute("SELECT id, spec::text FROM driftline.binning")
    }
    for role in (names.SERVED, names.SHADOW):
        stored_at = _stored_minutes(connection, model, role)
        since = {name: _split_since(connection, model, role, name) for name in segments}
        for (day, version, binning_id), packed in _by_day(connection, model, role, window):
            place = f"{role} version {version}, {time_of(day * DAY)[:10]}"
            if not is_stored(stored_at, np.array([day * DAY]), np.array([DAY])).all():
                continue
            if binning_id not in binnings:
                yield Difference("profile cells", place, 1, f"binning {binning_id!r} is not stored")
                continue
            binning = binnings[binning_id]
            split = [name for name, start in since.items() if start is None or day > start]
            split = [name for name in split if name in binning.by_name]
            stored = {
                segment: Profile.of(binning, *cells)
                for segment, cells in packed.items()
                if segment.partition("=")[0] in {names.ALL_ROWS, *split}
            }
            counted = _recount(connection, model, role, version, binning, split, day)
            yield from _compare(place, binning, stored, counted)


def _stored_minutes(connection: Connection, model: str, role: str) -> Ints:
    """The minutes whose rows are all stored."""
    spans = chunks(connection, names.prediction_table(model))
    if role == names.SHADOW:
        if not shadow_table.exists(connection, model):
            return intervals.EMPTY
        spans = intervals.repeated(spans, chunks(connection, names.shadow_table(model)))
    return minutes(spans)


def _split_since(connection: Connection, model: str, role: str, column: str) -> int | None:
    values = {"model": model, "role": role, "prefix": f"{column}="}
    row = connection.execute(_SPLIT_SINCE, values).fetchone()
    return None if row is None else row[0]


def _by_day(
    connection: Connection, model: str, role: str, window: Window
) -> Iterator[tuple[tuple[int, int, str], dict[str, list[bytes]]]]:
    """(day since 1970, version, binning) and its packed rows by segment."""
    values = {"model": model, "role": role, "first": window[0] // DAY, "end": window[1] // DAY}
    with connection.cursor("packed") as cursor:  # on the server: they need not fit in memory
        cursor.execute(_PACKED, values)
        for (day, version, binning_id), group in groupby(cursor, key=lambda row: row[:3]):
            packed: dict[str, list[bytes]] = {}
            for *_, segment, cells in group:
                packed.setdefault(segment, []).append(cells)
            yield (day, version, binning_id), packed


def _recount(  # noqa: PLR0917 - all of them select what is counted
    connection: Connection,
    model: str,
    role: str,
    version: int,
    binning: Binning,
    split: Sequence[str],
    day: int,
) -> dict[str, Profile]:
    """The profile of a day's rows, of all and by segment."""
    profiles = {names.ALL_ROWS: Profile.of(binning)}
    for batch in stream(connection, _rows(model, role, version, binning, day), None):
        rows = pa.Table.from_batches([batch])
        parts = [(names.ALL_ROWS, rows)]
        for name in split:
            label = labels(rows.column(name), binning.column(name))
            parts += [
                (f"{name}={value}", rows.filter(pc.equal(label, value)))
                for value in pc.unique(label).to_pylist()
            ]
        for segment, part in parts:
            profiles[segment] = profiles.get(segment, Profile.of(binning)) + recount(part, binning)
    return profiles


def _rows(model: str, role: str, version: int, binning: Binning, day: int) -> sql.Composed:
    """A day's rows of a version; shadows have their own score and latency, the event's features."""
    shadow = {names.SCORE, names.INFERENCE_MS} if role == names.SHADOW else set()
    source = sql.SQL("{} AS p").format(sql.Identifier(names.SCHEMA, names.prediction_table(model)))
    if role == names.SHADOW:
        source = sql.SQL("{} AS s JOIN {} USING (event_time, event_id)").format(
            sql.Identifier(names.SCHEMA, names.shadow_table(model)), source
        )
    return sql.SQL(
        "SELECT {columns} FROM {source} WHERE event_time >= to_timestamp({first})"
        " AND event_time < to_timestamp({end}) AND {of}.model_version = {version}"
    ).format(
        columns=sql.SQL(", ").join(
            sql.Identifier("s" if c.name in shadow else "p", c.name) for c in binning.columns
        ),
        source=source,
        first=sql.Literal(day * 86_400),
        end=sql.Literal((day + 1) * 86_400),
        of=sql.Identifier("s" if role == names.SHADOW else "p"),
        version=sql.Literal(version),
    )


def _compare(where: str, binning: Binning, stored: _Stored, rows: _Stored) -> Iterator[Difference]:
    for segment in sorted(stored.keys() | rows.keys()):
        empty = Profile.of(binning)
        columns = _wrong_columns(stored.get(segment, empty), rows.get(segment, empty))
        if columns:
            place = f"{where}, {segment}" if segment else where
            detail = f"columns {', '.join(columns)} have other counts than the rows"
            yield Difference("profile cells", place, len(columns), detail)


def _wrong_columns(profile: Profile, recounted: Profile) -> list[str]:
    """Columns whose counts differ at all, or whose sums differ by more than one in 10**9."""
    columns = []
    for name in profile.binning.by_name:
        stored, counted = profile.column(name), recounted.column(name)
        equal = np.array_equal(stored.counts, counted.counts)
        if not equal or not np.allclose(stored.sums, counted.sums, rtol=1e-9, atol=0.0):
            columns.append(name)
    return columns


def compare_hours(connection: Connection, model: str) -> Iterator[Difference]:
    """Compare the sums of whole hours with the profiles that they sum.

    Skips hours whose counts changed since, and hours whose profiles were compacted to days.
    """
    stale = hours.containing(dirty_minutes.pending(connection, model))
    with connection.cursor("sums") as cursor:
        cursor.execute(
            """SELECT bucket, version, role, segment, binning_id, rows, cells
                 FROM driftline.profile_hour WHERE model = %s ORDER BY bucket""",
            [model],
        )
        for hour, group in groupby(cursor, key=lambda row: row[0]):
            sums = {tuple(row[1:5]): (row[5], bytes(row[6])) for row in group}
            actual = {} if hour in stale else _sums_of(connection, model, hour)
            if actual and sums != actual:
                wrong = [
                    key for key in sums.keys() | actual.keys() if sums.get(key) != actual.get(key)
                ]
                place = f"the hour of {hour:%Y-%m-%d %H:%M}"
                detail = f"{len(wrong)} sums differ from the profiles"
                yield Difference("hour sums", place, len(wrong), detail)


def _sums_of(connection: Connection, model: str, hour: datetime) -> dict[_Key, tuple[int, bytes]]:
    return {
        (row.version, row.role, row.segment, row.binning_id): (row.rows, bytes(row.cells))
        for row in hours.sums(connection, model, hour)
    }
