"""Which windows were judged, and what they held in a form that SQL can draw."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from driftline.storage.connection import Connection


class Judged(NamedTuple):
    """A window that was judged.

    Attributes:
        revision: how often it was judged again, for events that came later.
        rows: all that were served.
        final: the allowed lateness had passed when it was judged.
        live: a runner judged it, not a backfill alone.
    """

    end: datetime
    revision: int
    rows: int
    final: bool
    live: bool


class Span(NamedTuple):
    """The judged windows of one length.

    Attributes:
        first: the end of the oldest one.
        live_first, live_last: of the oldest and the newest one that a runner judged.
    """

    first: datetime
    live_first: datetime | None
    live_last: datetime | None


class Stat(NamedTuple):
    """One column of one window.

    Attributes:
        missing, invalid: rows without a value, and with NaN or an infinity.
        mean, p50, p95, p99: None where the column has no numbers.
        labels: of at most 32 bins.
        counts: int64[bins].
        reference_shares: of the reference in the same bins; None where it has none.
    """

    version: int
    role: str
    segment: str
    column: str
    rows: int
    missing: int
    invalid: int
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    labels: Sequence[str]
    counts: Sequence[int]
    reference_shares: Sequence[float] | None


def last(connection: Connection, model: str, lengths: Iterable[int]) -> dict[int, datetime]:
    """The end of the newest window that a runner judged, by length in seconds."""
    found = spans(connection, model, lengths).items()
    return {seconds: one.live_last for seconds, one in found if one.live_last is not None}


def spans(connection: Connection, model: str, lengths: Iterable[int]) -> dict[int, Span]:
    """How far is judged, by length in seconds; without the lengths of which nothing is."""
    rows = connection.execute(
        """SELECT seconds, every.first, live.first, live.last
             FROM unnest(%(lengths)s::integer[]) AS seconds,
                  LATERAL (SELECT window_end AS first FROM driftline.judged_window
                            WHERE model = %(model)s AND window_seconds = seconds
                            ORDER BY window_end LIMIT 1) AS every,
                  LATERAL (SELECT min(window_end) AS first, max(window_end) AS last
                             FROM driftline.judged_window
                            WHERE model = %(model)s AND window_seconds = seconds AND live) AS live
        """,
        {"model": model, "lengths": sorted(set(lengths))},
    ).fetchall()
    return {seconds: Span(*rest) for seconds, *rest in rows}


def among(
    connection: Connection, model: str, seconds: int, ends: Sequence[datetime]
) -> dict[datetime, Judged]:
    """Those of the windows that were judged before."""
    rows = connection.execute(
        """SELECT window_end, revision, rows, final, live FROM driftline.judged_window
            WHERE model = %s AND window_seconds = %s AND window_end = ANY(%s)""",
        [model, seconds, list(ends)],
    ).fetchall()
    return {row[0]: Judged(*row) for row in rows}


def at_times(
    connection: Connection,
    model: str,
    seconds: int,
    ends: Iterable[datetime],
    *,
    step: timedelta,
    since: datetime,
) -> dict[datetime, int]:
    """Rows of the judged windows that end at `since` or later, whole steps from one of `ends`."""
    every = int(step.total_seconds())
    rows = connection.execute(
        """SELECT window_end, rows FROM driftline.judged_window
            WHERE model = %s AND window_seconds = %s AND window_end >= %s
              AND mod(extract(epoch FROM window_end)::bigint, %s) = ANY(%s)
            ORDER BY window_end""",
        [model, seconds, since, every, sorted({int(end.timestamp()) % every for end in ends})],
    ).fetchall()
    return dict(rows)


def between(
    connection: Connection, model: str, seconds: int, since: datetime, until: datetime
) -> list[Judged]:
    """The judged windows that end in [since, until), in order."""
    rows = connection.execute(
        """SELECT window_end, revision, rows, final, live FROM driftline.judged_window
            WHERE model = %s AND window_seconds = %s AND window_end >= %s AND window_end < %s
            ORDER BY window_end""",
        [model, seconds, since, until],
    ).fetchall()
    return [Judged(*row) for row in rows]


def finish(connection: Connection, model: str, seconds: int, until: datetime) -> None:
    """The allowed lateness of the windows that end at `until` or before has passed."""
    connection.execute(
        """UPDATE driftline.judged_window SET final = true
            WHERE model = %s AND window_seconds = %s AND window_end <= %s
              AND window_end > %s::timestamptz - interval '30 days' AND NOT final""",
        [model, seconds, until, until],
    )


def write(
    connection: Connection, model: str, seconds: int, window: Judged, stats: Iterable[Stat]
) -> None:
    """Store that a window was judged, with what it held instead of what it was said to hold."""
    connection.execute(
        """INSERT INTO driftline.judged_window
             (window_end, model, window_seconds, revision, rows, final, live)
           VALUES (%s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT (model, window_seconds, window_end) DO UPDATE
             SET revision = excluded.revision, rows = excluded.rows, final = excluded.final,
                 live = excluded.live, judged_at = clock_timestamp()""",
        (window.end, model, seconds, *window[1:]),
    )
    if window.revision:
        connection.execute(
            """DELETE FROM driftline.window_stat
                WHERE model = %s AND window_seconds = %s AND window_end = %s""",
            (model, seconds, window.end),
        )
    columns = ", ".join(f'"{name}"' for name in Stat._fields)
    with connection.cursor().copy(
        f"COPY driftline.window_stat (window_end, model, window_seconds, {columns}) FROM STDIN"
    ) as copy:
        for stat in stats:
            copy.write_row((window.end, model, seconds, *stat))
