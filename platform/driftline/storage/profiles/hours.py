"""Sums of whole hours: a long window reads a few rows an hour instead of one a minute.

A copy, which may be dropped at any time: `driftline.profile` alone says what was counted. An hour
that was counted since it was added up is marked in `driftline.dirty_window`, and read by minutes.
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


def add_up(connection: Connection, model: str, hours: Iterable[datetime]) -> None:
    """Add some hours up, whose old sums are dropped; in the caller's transaction.

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
    """What the profiles of an hour add up to; nothing where they have become days."""
    rows = connection.execute(
        f"""SELECT {COLUMNS} FROM driftline.profile
            WHERE model = %s AND bucket >= %s AND bucket < %s
              AND span_minutes <= %s""",  # noqa: S608 - a constant
        [model, hour, hour + HOUR, _SPAN],
        binary=True,
    ).fetchall()
    return list(merged([ProfileRow(*row) for row in rows], _SPAN))


def drop(connection: Connection, model: str, hours: Iterable[datetime], before: datetime) -> None:
    """Drop the sums of some hours, and of all that start before a time."""
    connection.execute(
        """DELETE FROM driftline.profile_hour
            WHERE model = %s AND (bucket = ANY(%s) OR bucket < %s)""",
        [model, sorted(hours), before],
    )


def read(
    connection: Connection,
    model: str,
    since: datetime,
    until: datetime,
    segments: Sequence[str] = (),
) -> list[ProfileRow]:
    """What `windows.read` gives of [since, until), added up by the hour where that was done.

    Raises:
        SchemaError: see `windows.read`.
    """
    stale = of_minutes(dirty_minutes.pending(connection, model))
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM driftline.profile_hour
             WHERE model = %s AND bucket >= %s AND bucket <= %s AND segment = ANY(%s)
             ORDER BY bucket""",  # noqa: S608 - a constant
        [model, since, until - HOUR, [names.ALL_ROWS, *segments]],
        binary=True,
    ).fetchall()
    added = [ProfileRow(row[0], _SPAN, *row[1:]) for row in rows if row[0] not in stale]
    found = list(added)
    for first, end in _between(sorted({row.bucket for row in added}), since, until):
        found += windows.read(connection, model, first, end, segments)
    return found


def of_minutes(minutes: Ints) -> set[datetime]:
    """The hours that some minutes lie in, int64[n, 2] as [first, end) since 1970.

    >>> import numpy as np
    >>> len(of_minutes(np.array([[30, 61], [130, 140]])))
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
    """The stretches of [since, until) that none of the hours covers."""
    at = since
    for hour in hours:
        if at < hour:
            yield at, hour
        at = hour + HOUR
    if at < until:
        yield at, until
