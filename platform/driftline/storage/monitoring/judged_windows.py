"""Which windows were judged, and their statistics in a form that SQL can plot."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from driftline.storage.connection import Connection


class Judged(NamedTuple):
    """A window that was judged.

    Attributes:
        revision: how many times it was judged again because of late events.
        rows: all served rows.
        final: the allowed lateness had passed when it was judged.
        live: judged by a runner, not only by a backfill.
    """

    end: datetime
    revision: int
    rows: int
    final: bool
    live: bool


class Span(NamedTuple):
    """The judged windows of one length.

    Attributes:
        first: the end of the oldest window.
        live_first, live_last: ends of the oldest and the newest window that a runner judged.
    """

    first: datetime
    live_first: datetime | None
    live_last: datetime | None


class Stat(NamedTuple):
    """Statistics of one column in one window.

    Attributes:
        missing, invalid: rows without a value, and with NaN or an infinity.
        mean, p50, p95, p99: None if the column has no numbers.
        labels: names of at most 32 bins.
        counts: int64[bins].
        reference_shares: the reference's shares in the same bins; None without a reference.
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
    by_length = spans(connection, model, lengths).items()
    return {seconds: span.live_last for seconds, span in by_length if span.live_last is not None}


def spans(connection: Connection, model: str, lengths: Iterable[int]) -> dict[int, Span]:
    """The span of judged windows by length in seconds; lengths without any are omitted."""
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
    return {seconds: Span(*ends) for seconds, *ends in rows}


def read(
    connection: Connection, model: str, seconds: int, ends: Sequence[datetime]
) -> dict[datetime, Judged]:
    """The windows with these ends that were judged before, by their ends."""
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


def mark_final(connection: Connection, model: str, seconds: int, until: datetime) -> None:
    """Mark windows that end at `until` or before as final: their allowed lateness has passed."""
    connection.execute(
        """UPDATE driftline.judged_window SET final = true
            WHERE model = %s AND window_seconds = %s AND window_end <= %s
              AND window_end > %s::timestamptz - interval '30 days' AND NOT final""",
        [model, seconds, until, until],
    )


def write(
    connection: Connection, model: str, seconds: int, window: Judged, stats: Iterable[Stat]
) -> None:
    """Store that a window was judged; its statistics replace those of earlier revisions."""
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
