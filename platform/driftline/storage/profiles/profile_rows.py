"""Stored profiles: any window is a sum of rows, and compaction limits their number."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from driftline import names
from driftline.profile import pack
from driftline.profile.binning import Binning
from driftline.profile.profile import Profile
from driftline.storage import locks
from driftline.storage.connection import Connection

# Age, by the model's clock, from which rows are merged to hours and days.
_HOURS_AFTER = timedelta(days=2)
_DAYS_AFTER = timedelta(days=90)
# Most packed rows that one transaction of a compaction reads, unless one bucket has more.
_ROWS_AT_ONCE = 20_000

COLUMNS = "bucket, span_minutes, version, role, segment, binning_id, rows, cells"


class ProfileRow(NamedTuple):
    """One packed row: the counts of `span_minutes` from `bucket` on.

    Attributes:
        rows: how many events were counted.
        cells: packed counts and sums, for `driftline.profile.pack`.
    """

    bucket: datetime
    span_minutes: int
    version: int
    role: str
    segment: str
    binning_id: str
    rows: int
    cells: bytes


def read(
    connection: Connection,
    model: str,
    since: datetime,
    until: datetime,
    *,
    version: int | None = None,
    role: str = names.SERVED,
    segment: str | None = names.ALL_ROWS,
) -> list[ProfileRow]:
    """The packed rows of a window of event time, in order of their buckets.

    A row that overlaps the window is returned whole; after compaction (2 days) rows cover hours or
    parts of them, and after 90 days days, so older windows should start and end at their bounds.

    Parameters:
        since, until: the window is [since, until).
        version: only this model version; None for all.
        segment: only this segment; None for all segments and all rows.
    """
    rows = connection.execute(
        f"""SELECT {COLUMNS} FROM driftline.profile
             WHERE model = %(model)s AND role = %(role)s
               AND bucket < %(until)s AND bucket > %(since)s - interval '1 day'
               AND bucket + span_minutes * interval '1 minute' > %(since)s
               AND (%(version)s::int IS NULL OR version = %(version)s)
               AND (%(segment)s::text IS NULL OR segment = %(segment)s)
             ORDER BY bucket, id""",  # noqa: S608 - a constant
        {
            "model": model,
            "role": role,
            "since": since,
            "until": until,
            "version": version,
            "segment": segment,
        },
    ).fetchall()
    return [ProfileRow(*row) for row in rows]


def rows(connection: Connection, model: str, since: datetime, until: datetime) -> int:
    """Approximate number of predictions served in a window: packed rows count whole."""
    row = connection.execute(
        """SELECT coalesce(sum(rows), 0)::bigint FROM driftline.profile
            WHERE model = %(model)s AND role = %(role)s AND segment = %(segment)s
              AND bucket < %(until)s AND bucket > %(since)s - interval '1 day'
              AND bucket + span_minutes * interval '1 minute' > %(since)s""",
        {
            "model": model,
            "role": names.SERVED,
            "segment": names.ALL_ROWS,
            "since": since,
            "until": until,
        },
    ).fetchone()
    return 0 if row is None else int(row[0])


def window(
    connection: Connection,
    model: str,
    binning: Binning,
    since: datetime,
    until: datetime,
    *,
    version: int | None = None,
    role: str = names.SERVED,
    segment: str = names.ALL_ROWS,
) -> Profile:
    """The profile of a window: the sum of the rows of `read` with one binning."""
    rows = read(connection, model, since, until, version=version, role=role, segment=segment)
    return Profile.of(binning, *(row.cells for row in rows if row.binning_id == binning.id))


class Compacted(NamedTuple):
    """How many rows a compaction read, and how many replaced them."""

    rows_before: int
    rows_after: int


def compact(
    connection: Connection,
    model: str,
    now: datetime | None = None,
    *,
    minutes: int = 60,
    hours_after: timedelta = timedelta(0),
) -> Compacted:
    """Merge rows of closed minutes: one per minute, after 2 days per hour, after 90 days per day.

    Live windows can become a reference, whose blocks may have to be shorter than an hour: `minutes`
    and `hours_after` keep them longer.

    Readers see either the old rows or the merged one; rows that writers add meanwhile are merged
    next time. Stops if another compaction of the model is running.

    Parameters:
        connection: as role `write`, in no transaction.
        now: the model's clock; by default the newest minute that it has counted, so that a replay
            of the past ages like the original, but never later than the real time.
        minutes: rows older than 2 days are merged to this many minutes, a part of the hour.
        hours_after: age from which they are merged to hours, if more than 2 days.
    """
    clock = now or _clock(connection, model)
    if clock is None:
        return Compacted(0, 0)
    days_end = floor(clock - _DAYS_AFTER, 1440)
    parts_end = floor(clock - _HOURS_AFTER, 60)
    hours_end = max(min(floor(clock - hours_after, 60), parts_end), days_end)
    minutes_end = floor(clock, 1)
    rows_before = rows_after = 0
    for span, since, until in (
        (1440, datetime(1, 1, 2, tzinfo=UTC), days_end),
        (60, days_end, hours_end),
        (minutes, hours_end, parts_end),
        (1, parts_end, minutes_end),
    ):
        for buckets in _batches(_mergeable(connection, model, span, since, until)):
            compacted = _merge(connection, model, span, buckets)
            if compacted is None:
                return Compacted(rows_before, rows_after)
            rows_before += compacted.rows_before
            rows_after += compacted.rows_after
    return Compacted(rows_before, rows_after)


def _clock(connection: Connection, model: str) -> datetime | None:
    row = connection.execute(
        """SELECT least(max(bucket) + interval '1 minute', clock_timestamp())
             FROM driftline.profile WHERE model = %s""",
        [model],
    ).fetchone()
    return None if row is None else row[0]


def floor(time: datetime, minutes: int) -> datetime:
    """Round a time down to a multiple of some minutes since 1970."""
    return datetime.fromtimestamp(time.timestamp() // (60 * minutes) * 60 * minutes, UTC)


def _mergeable(
    connection: Connection, model: str, span: int, since: datetime, until: datetime
) -> list[tuple[datetime, int]]:
    """The buckets with rows to merge, and how many rows each has."""
    return connection.execute(
        """SELECT target, sum(n)::bigint
             FROM (SELECT date_bin(%(span)s * interval '1 minute', bucket, 'epoch') AS target,
                          count(*) AS n, min(span_minutes) AS finest
                     FROM driftline.profile
                    WHERE model = %(model)s AND bucket >= %(since)s AND bucket < %(until)s
                      AND mod(%(span)s, span_minutes) = 0
                    GROUP BY target, version, role, segment, binning_id) AS groups
            GROUP BY target HAVING bool_or(n > 1 OR finest < %(span)s) ORDER BY target""",
        {"model": model, "span": span, "since": since, "until": until},
    ).fetchall()


def _batches(buckets: Iterable[tuple[datetime, int]]) -> Iterator[list[datetime]]:
    batch: list[datetime] = []
    total = 0
    for bucket, rows in buckets:
        if batch and total + rows > _ROWS_AT_ONCE:
            yield batch
            batch, total = [], 0
        batch.append(bucket)
        total += rows
    if batch:
        yield batch


def _merge(
    connection: Connection, model: str, span: int, buckets: list[datetime]
) -> Compacted | None:
    """Replace the rows of each bucket by merged ones; None if another compaction is running."""
    with locks.try_transaction(connection, "compact profiles", model) as free:
        if not free:
            return None
        rows = _delete(connection, model, span, buckets)
        sums = list(merged(rows, span))
        connection.cursor().executemany(
            f"INSERT INTO driftline.profile (model, {COLUMNS})"  # noqa: S608 - a constant
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [(model, *row) for row in sums],
        )
    return Compacted(len(rows), len(sums))


def _delete(
    connection: Connection, model: str, span: int, buckets: list[datetime]
) -> list[ProfileRow]:
    """Delete the rows of some buckets; returns exactly the deleted rows, despite writers."""
    rows = connection.execute(
        f"""DELETE FROM driftline.profile
             WHERE model = %(model)s AND bucket >= %(first)s AND bucket < %(end)s
               AND mod(%(span)s, span_minutes) = 0
               AND date_bin(%(span)s * interval '1 minute', bucket, 'epoch') = ANY(%(buckets)s)
             RETURNING {COLUMNS}""",  # noqa: S608 - a constant
        {
            "model": model,
            "span": span,
            "first": buckets[0],
            "end": buckets[-1] + timedelta(minutes=span),
            "buckets": buckets,
        },
    ).fetchall()
    return [ProfileRow(*row) for row in rows]


def merged(rows: list[ProfileRow], span: int) -> Iterator[ProfileRow]:
    """One row for each version, role, segment and binning in each span of `span` minutes."""

    def key(row: ProfileRow) -> tuple[datetime, int, str, str, str]:
        return (floor(row.bucket, span), row.version, row.role, row.segment, row.binning_id)

    for (bucket, *_), equal_keys in groupby(sorted(rows, key=key), key=key):
        group = list(equal_keys)
        yield group[0]._replace(
            bucket=bucket,
            span_minutes=span,
            rows=sum(row.rows for row in group),
            cells=pack.add(row.cells for row in group),
        )
