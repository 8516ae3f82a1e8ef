"""Does every cell of the profiles count what the rows say, of each role and segment?"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from driftline import names
from driftline.audit.profiles import ALWAYS, DAY, PROFILES, Window, minutes, time_of, whole
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

# The day, after the first, on which a column began to split the profiles: not all of it is split.
_SPLIT_SINCE = sql.SQL(
    """SELECT floor(date_part('epoch', split) / 86400)::bigint
         FROM (SELECT min(p.bucket) FILTER (WHERE starts_with(p.segment, %(prefix)s)) AS split,
                      min(p.bucket) AS first {profiles}) AS begun
        WHERE split > first"""
).format(profiles=PROFILES)

_Stored = Mapping[str, Profile]  # by segment
_Key = tuple[object, ...]  # version, role, segment, binning


def recount_cells(
    connection: Connection, model: str, segments: Sequence[str], window: Window = ALWAYS
) -> Iterator[Difference]:
    """Count every cell of the profiles again from the rows, day by day.

    Days whose rows retention has dropped, in whole or in part, are left out, and of a column that
    began to split the profiles later than they began the days up to then.

    Parameters:
        segments: the columns that split the profiles.
    """
    binnings = {
        str(key): Binning.from_json(spec)
        for key, spec in connection.execute("SELECT id, spec::text FROM driftline.binning")
    }
    for role in (names.SERVED, names.SHADOW):
        kept = _kept(connection, model, role)
        since = {name: _split_since(connection, model, role, name) for name in segments}
        for (day, version, binning_id), packed in _by_day(connection, model, role, window):
            where = f"{role} version {version}, {time_of(day * DAY)[:10]}"
            if not whole(kept, np.array([day * DAY]), np.array([DAY])).all():
                continue
            if binning_id not in binnings:
                yield Difference("profile cells", where, 1, f"binning {binning_id!r} is not stored")
                continue
            binning = binnings[binning_id]
            split = [name for name, begun in since.items() if begun is None or day > begun]
            split = [name for name in split if name in binning.by_name]
            stored = {
                segment: Profile.of(binning, *some)
                for segment, some in packed.items()
                if segment.partition("=")[0] in {names.ALL_ROWS, *split}
            }
            again = _recount(connection, model, role, version, binning, split, day)
            yield from _compare(where, binning, stored, again)


def _kept(connection: Connection, model: str, role: str) -> Ints:
    """The minutes whose rows are all there."""
    kept = chunks(connection, names.prediction_table(model))
    if role == names.SHADOW:
        if not shadow_table.exists(connection, model):
            return intervals.EMPTY
        kept = intervals.repeated(kept, chunks(connection, names.shadow_table(model)))
    return minutes(kept)


def _split_since(connection: Connection, model: str, role: str, column: str) -> int | None:
    values = {"model": model, "role": role, "prefix": f"{column}="}
    row = connection.execute(_SPLIT_SINCE, values).fetchone()
    return None if row is None else row[0]


def _by_day(
    connection: Connection, model: str, role: str, window: Window
) -> Iterator[tuple[tuple[int, int, str], dict[str, list[bytes]]]]:
    """(day since 1970, version, binning), and the packed rows of it by segment."""
    values = {"model": model, "role": role, "first": window[0] // DAY, "end": window[1] // DAY}
    with connection.cursor("packed") as cursor:  # on the server: they need not fit in memory
        cursor.execute(_PACKED, values)
        for (day, version, binning_id), some in groupby(cursor, key=lambda row: row[:3]):
            packed: dict[str, list[bytes]] = {}
            for *_, segment, cells in some:
                packed.setdefault(segment, []).append(cells)
            yield (day, version, binning_id), packed


def _recount(  # noqa: PLR0917 - all of them say what is counted
    connection: Connection,
    model: str,
    role: str,
    version: int,
    binning: Binning,
    split: Sequence[str],
    day: int,
) -> dict[str, Profile]:
    """The profile of a day's rows, of all and by segment."""
    found = {names.ALL_ROWS: Profile.of(binning)}
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
            found[segment] = found.get(segment, Profile.of(binning)) + recount(part, binning)
    return found


def _rows(model: str, role: str, version: int, binning: Binning, day: int) -> sql.Composed:
    """A day's rows of a version; a shadow has its own score and time, and the event's features."""
    own = {names.SCORE, names.INFERENCE_MS} if role == names.SHADOW else set()
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
            sql.Identifier("s" if one.name in own else "p", one.name) for one in binning.columns
        ),
        source=source,
        first=sql.Literal(day * 86_400),
        end=sql.Literal((day + 1) * 86_400),
        of=sql.Identifier("s" if role == names.SHADOW else "p"),
        version=sql.Literal(version),
    )


def _compare(where: str, binning: Binning, stored: _Stored, again: _Stored) -> Iterator[Difference]:
    for segment in sorted(stored.keys() | again.keys()):
        nothing = Profile.of(binning)
        wrong = _wrong_columns(stored.get(segment, nothing), again.get(segment, nothing))
        if wrong:
            place = f"{where}, {segment}" if segment else where
            detail = f"columns {', '.join(wrong)} count otherwise"
            yield Difference("profile cells", place, len(wrong), detail)


def _wrong_columns(profile: Profile, again: Profile) -> list[str]:
    """Columns whose counts differ at all, or whose sums differ by more than one in 10**9."""
    wrong = []
    for name in profile.binning.by_name:
        one, other = profile.column(name), again.column(name)
        same = np.array_equal(one.counts, other.counts)
        if not same or not np.allclose(one.sums, other.sums, rtol=1e-9, atol=0.0):
            wrong.append(name)
    return wrong


def compare_hours(connection: Connection, model: str) -> Iterator[Difference]:
    """Do the sums of whole hours say what the profiles say that they were added up from?

    Hours that were counted since, and those whose profiles have become days, are left out.
    """
    stale = hours.of_minutes(dirty_minutes.pending(connection, model))
    with connection.cursor("sums") as cursor:
        cursor.execute(
            """SELECT bucket, version, role, segment, binning_id, rows, cells
                 FROM driftline.profile_hour WHERE model = %s ORDER BY bucket""",
            [model],
        )
        for hour, some in groupby(cursor, key=lambda row: row[0]):
            sums = {tuple(row[1:5]): (row[5], bytes(row[6])) for row in some}
            again = {} if hour in stale else _added_up(connection, model, hour)
            if again and sums != again:
                wrong = [
                    key for key in sums.keys() | again.keys() if sums.get(key) != again.get(key)
                ]
                where = f"the hour of {hour:%Y-%m-%d %H:%M}"
                detail = f"{len(wrong)} sums are not those of the profiles"
                yield Difference("hour sums", where, len(wrong), detail)


def _added_up(connection: Connection, model: str, hour: datetime) -> dict[_Key, tuple[int, bytes]]:
    return {
        (row.version, row.role, row.segment, row.binning_id): (row.rows, bytes(row.cells))
        for row in hours.sums(connection, model, hour)
    }
