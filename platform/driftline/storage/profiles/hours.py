"""Sums of whole hours: a long window reads a few rows per hour instead of one per minute.

A copy that may be deleted at any time: `driftline.profile` is authoritative. An hour whose counts
changed after it was summed is marked in `driftline.dirty_window`, and read by minutes.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from driftline import names
from driftline.profile.binning import Ints
from driftline.storage.connection import Connection
from driftline.storage.profiles import dirty_minutes, windows
from driftline.storage.profiles.profile_rows import COLUMNS, ProfileRow, merged

HOUR = timedelta(hours=1)

_SPAN = 60  # minutes
_COLUMNS = "bucket, version, role, segment, binning_id, rows, cells"


def write_sums(connection: Connection, model: str, hours: Iterable[datetime]) -> None:
    """Store the sums of hours whose old sums were deleted, in the caller's transaction.

    Parameters:
        hours: their starts.
    """
    for hour in hours:
        connection.cursor().executemany(
            f"INSERT INTO driftline.profile_hour (model, {_COLUMNS})"  # noqa: S608 - a constant
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [(model, row.bucket, *row[2:]) for row in sums(connection, model, hour)],
        )


def sums(connection: Connection, model: str, hour: datetime) -> list[ProfileRow]:
    """The sums of an hour's profiles; empty if they were compacted to days."""
    rows = connection.execute(
        f"""SELECT {COLUMNS} FROM driftline.profile
            WHERE model = %s AND bucket >= %s AND bucket < %s
              AND span_minutes <= %s""",  # noqa: S608 - a constant
        [model, hour, hour + HOUR, _SPAN],
        binary=True,
    ).fetchall()
    return list(merged([ProfileRow(*row) for row in rows], _SPAN))


def drop(connection: Connection, model: str, hours: Iterable[datetime], oldest: datetime) -> None:
    """Delete the sums of these hours, and of all that start before a time."""
    connection.execute(
        """DELETE FROM driftline.profile_hour
            WHERE model = %s AND (bucket = ANY(%s) OR bucket < %s)""",
        [model, sorted(hours), oldest],
    )


def read(
    connection: Connection,
    model: str,
    since: datetime,
    until: datetime,
    segments: Sequence[str] = (),
) -> list[ProfileRow]:
    """The rows of `windows.read` for [since, until), with hour sums where they exist.

    Raises:
        SchemaError: see `windows.read`.
    """
    stale = containing(dirty_minutes.pending(connection, model))
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM driftline.profile_hour
             WHERE model = %s AND bucket >= %s AND bucket <= %s AND segment = ANY(%s)
             ORDER BY bucket""",  # noqa: S608 - a constant
        [model, since, until - HOUR, [names.ALL_ROWS, *segments]],
        binary=True,
    ).fetchall()
    summed = [ProfileRow(row[0], _SPAN, *row[1:]) for row in rows if row[0] not in stale]
    rows_read = list(summed)
    for first, end in _between(sorted({row.bucket for row in summed}), since, until):
        rows_read += windows.read(connection, model, first, end, segments)
    return rows_read


def containing(minutes: Ints) -> set[datetime]:
    """The hours that contain minutes, int64[n, 2] as [first, end) since 1970.

    >>> import numpy as np
    >>> len(containing(np.array([[30, 61], [130, 140]])))
    3
    """
    return {
        datetime.fromtimestamp(hour * 3600, UTC)
        for first, end in minutes.tolist()
        for hour in range(first // _SPAN, (end - 1) // _SPAN + 1)
    }


def _between(
    hours: Sequence[datetime], since: datetime, until: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The spans of [since, until) that none of the hours covers."""
    start = since
    for hour in hours:
        if start < hour:
            yield start, hour
        start = hour + HOUR
    if start < until:
        yield start, until
