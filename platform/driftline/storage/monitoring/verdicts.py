"""What the monitors said: the newest revision of each look, and the older ones."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import LiteralString, NamedTuple

from driftline import names
from driftline.config.monitors import PIPELINE
from driftline.storage.connection import Connection


class Row(NamedTuple):
    """One look; the fields are those of `driftline.monitors.windows.verdict.Verdict`."""

    segment: str
    column: str
    monitor: str
    family: str
    version: int
    rows: int
    status: str
    alerts: bool
    value: float | None = None
    expected: float | None = None
    threshold: float | None = None
    p_value: float | None = None
    level: float | None = None
    effect: float | None = None
    provisional: bool = False
    detail: str = ""
    against: int = 0
    low: float | None = None
    high: float | None = None
    report_id: int | None = None


class Past(NamedTuple):
    """A stored look, as a fold over a column's past reads it."""

    end: datetime
    version: int
    status: str
    rows: int
    value: float | None
    effect: float | None
    p_value: float | None
    judged_at: datetime | None = None  # None: it is not stored yet


FIELDS = ", ".join(f'"{name}"' for name in Row._fields)
_ALL = f"window_end, model, window_seconds, revision, {FIELDS}"
_HISTORY_KEPT = timedelta(days=90)


def write(
    connection: Connection,
    model: str,
    seconds: int,
    end: datetime,
    rows: Iterable[Row],
    *,
    revision: int,
    sparing: Sequence[str] = (),
) -> None:
    """Store the verdicts of a window; what was said of it before goes to the history, its report
    stays.

    Parameters:
        revision: of the window; 0 the first time.
        sparing: what these monitors said stays.
    """
    report = None
    if revision:
        values = {"model": model, "seconds": seconds, "end": end, "sparing": list(sparing)}
        _, report = _retire(connection, "NOT monitor = ANY(%(sparing)s)", values)
    _insert(connection, (end, model, seconds, revision), rows, report)


def say(
    connection: Connection,
    model: str,
    seconds: int,
    end: datetime,
    rows: Iterable[Row],
    *,
    monitor: str,
    revision: int | None = None,
) -> None:
    """Store what one monitor says of a window; what it said before goes to the history, its report
    stays.

    Parameters:
        revision: later than the one before; default: the next.
    """
    values = {"model": model, "seconds": seconds, "end": end, "monitor": monitor}
    last, report = _retire(connection, "monitor = %(monitor)s", values)
    following = 0 if last is None else last + 1
    number = following if revision is None else revision
    _insert(connection, (end, model, seconds, number), rows, report)


def _retire(
    connection: Connection, which: LiteralString, values: dict[str, object]
) -> tuple[int | None, int | None]:
    """Move what was said of a window into the history; gives its newest revision and its report."""
    row = connection.execute(
        f"""WITH gone AS (
              DELETE FROM driftline.verdict
               WHERE model = %(model)s AND window_seconds = %(seconds)s AND window_end = %(end)s
                 AND {which}
              RETURNING *), kept AS (
            INSERT INTO driftline.verdict_history ({_ALL}, judged_at)
            SELECT {_ALL}, judged_at FROM gone ON CONFLICT DO NOTHING)
            SELECT max(revision), max(report_id) FROM gone""",  # noqa: S608 - constants
        values,
    ).fetchone()
    assert row is not None
    return row[0], row[1]


class Known(NamedTuple):
    """What a monitor with one look a window said of one."""

    status: str
    threshold: float | None
    detail: str


def known(
    connection: Connection, model: str, seconds: int, monitor: str, ends: Sequence[datetime]
) -> dict[datetime, Known]:
    """What a monitor with one look a window said of some windows, by their ends."""
    rows = connection.execute(
        """SELECT window_end, status, threshold, detail FROM driftline.verdict
            WHERE model = %s AND window_seconds = %s AND window_end = ANY(%s) AND monitor = %s""",
        [model, seconds, list(ends), monitor],
    ).fetchall()
    return {end: Known(*rest) for end, *rest in rows}


def revisions(
    connection: Connection, model: str, seconds: int, monitor: str, *, since: datetime
) -> dict[datetime, int]:
    """The newest revision of what a monitor said of windows that end from some time on, by ends."""
    rows = connection.execute(
        """SELECT window_end, max(revision) FROM driftline.verdict
            WHERE model = %s AND window_seconds = %s AND window_end >= %s AND monitor = %s
            GROUP BY 1""",
        [model, seconds, since, monitor],
    ).fetchall()
    return dict(rows)


def last_values(
    connection: Connection, model: str, seconds: int, monitor: str, ends: Sequence[datetime]
) -> dict[datetime, dict[str, tuple[str, int, str]]]:
    """Status, rows and detail of each column that a monitor judged at some windows, by ends."""
    rows = connection.execute(
        """SELECT window_end, "column", status, rows, detail FROM driftline.verdict
            WHERE model = %s AND window_seconds = %s AND window_end = ANY(%s) AND monitor = %s""",
        [model, seconds, list(ends), monitor],
    ).fetchall()
    found: dict[datetime, dict[str, tuple[str, int, str]]] = {}
    for end, column, *said in rows:
        found.setdefault(end, {})[column] = (said[0], said[1], said[2])
    return found


def of_window(connection: Connection, model: str, seconds: int, end: datetime) -> list[Row]:
    """What was said of one window last."""
    rows = connection.execute(
        f"""SELECT {FIELDS} FROM driftline.verdict
             WHERE model = %s AND window_seconds = %s AND window_end = %s
             ORDER BY monitor, "column", segment, version""",  # noqa: S608 - constants
        [model, seconds, end],
    ).fetchall()
    return [Row(*row) for row in rows]


def said(
    connection: Connection, model: str, seconds: int, monitor: str, since: datetime
) -> dict[datetime, list[Row]]:
    """What a monitor said of the windows that end from some time on, by their ends, in order."""
    rows = connection.execute(
        f"""SELECT window_end, {FIELDS} FROM driftline.verdict
             WHERE model = %s AND window_seconds = %s AND window_end >= %s AND monitor = %s
             ORDER BY window_end, "column", segment, version""",  # noqa: S608 - constants
        [model, seconds, since, monitor],
    ).fetchall()
    found: dict[datetime, list[Row]] = {}
    for end, *row in rows:
        found.setdefault(end, []).append(Row(*row))
    return found


class Flags(NamedTuple):
    """What a window says of a family.

    Attributes:
        alarm: of a look that may open incidents; of driftline itself, a look of any family failed.
        broken: a look of the family failed; of driftline itself, that is an alarm.
        empty: nothing could be judged, for want of rows.
    """

    end: datetime
    alarm: bool
    broken: bool
    empty: bool


def flags(
    connection: Connection, model: str, seconds: int, since: datetime
) -> dict[str, list[Flags]]:
    """What the windows of one length that end from some time on say of each family, in order."""
    rows = connection.execute(
        """SELECT family, window_end, bool_or(status = 'alarm'), bool_or(status = 'broken'),
                  bool_and(status IN ('no_data', 'insufficient'))
             FROM driftline.verdict
            WHERE model = %s AND window_seconds = %s AND window_end >= %s
              AND (alerts OR status = 'broken')
            GROUP BY 1, 2 ORDER BY 1, 2""",
        [model, seconds, since],
    ).fetchall()
    found: dict[str, list[Flags]] = {}
    for family, *rest in rows:
        found.setdefault(family, []).append(Flags(*rest))
    found[PIPELINE] = _of_itself(flag for family in found.values() for flag in family)
    return found


def reaching(
    connection: Connection, model: str, seconds: int, family: str, *, until: datetime, n: int
) -> datetime | None:
    """The end of the n-th newest window that ends at `until` or before and in which something of
    a family was judged, or of as many as there are; None where there are none."""
    row = connection.execute(
        """SELECT min(window_end) FROM (
             SELECT DISTINCT window_end FROM driftline.verdict
              WHERE model = %(model)s AND window_seconds = %(seconds)s
                AND window_end <= %(until)s AND (alerts OR status = 'broken')
                AND (family = %(family)s OR %(family)s = %(itself)s)
                AND status NOT IN ('no_data', 'insufficient')
              ORDER BY window_end DESC LIMIT %(n)s) AS newest""",
        {
            "model": model,
            "seconds": seconds,
            "until": until,
            "family": family,
            "itself": PIPELINE,
            "n": n,
        },
    ).fetchone()
    assert row is not None
    found: datetime | None = row[0]
    return found


def _of_itself(flags: Iterable[Flags]) -> list[Flags]:
    """Flags of all families as those of driftline itself."""
    by_end: dict[datetime, list[Flags]] = {}
    for flag in flags:
        by_end.setdefault(flag.end, []).append(flag)
    return [
        Flags(end, any(f.broken for f in same), broken=False, empty=all(f.empty for f in same))
        for end, same in sorted(by_end.items())
    ]


def alarms(
    connection: Connection, model: str, since: datetime, until: datetime
) -> list[tuple[datetime, int, Row]]:
    """(window's end, its seconds, verdict) of all alarms that may open incidents, in order."""
    rows = connection.execute(
        f"""SELECT window_end, window_seconds, {FIELDS} FROM driftline.verdict
             WHERE model = %s AND window_end >= %s AND window_end <= %s
               AND status IN ('alarm', 'broken') AND alerts
             ORDER BY window_end, window_seconds, monitor, "column", segment, version""",  # noqa: S608
        [model, since, until],
    ).fetchall()
    return [(end, seconds, Row(*row)) for end, seconds, *row in rows]


def past(
    connection: Connection,
    model: str,
    seconds: int,
    monitor: str,
    *,
    since: datetime,
    until: datetime,
    every: int = 1,
) -> dict[tuple[str, str], list[Past]]:
    """(column, segment) -> the looks of a monitor at windows that end in [since, until], in order.

    Of two versions that were judged in one window the one with more rows counts.

    Parameters:
        every: only windows that end at whole multiples of so many seconds since 1970.
    """
    rows = connection.execute(
        """SELECT DISTINCT ON ("column", segment, window_end)
                  "column", segment, window_end, version, status, rows, value, effect,
                  p_value, judged_at
             FROM driftline.verdict
            WHERE model = %s AND window_seconds = %s AND window_end >= %s AND window_end <= %s
              AND monitor = %s AND mod(extract(epoch FROM window_end)::bigint, %s) = 0
            ORDER BY "column", segment, window_end, rows DESC, version DESC""",
        [model, seconds, since, until, monitor, every],
    ).fetchall()
    found: dict[tuple[str, str], list[Past]] = {}
    for column, segment, *rest in rows:
        found.setdefault((column, segment), []).append(Past(*rest))
    return found


def _insert(
    connection: Connection,
    key: tuple[datetime, str, int, int],
    rows: Iterable[Row],
    report: int | None,
) -> None:
    with connection.cursor().copy(f"COPY driftline.verdict ({_ALL}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row((*key, *row._replace(report_id=report)))


def expire(connection: Connection, keep: timedelta) -> int:
    """Delete what is older than it is good for; gives how many rows.

    Older revisions go after 90 days. Windows shorter than a day go after `keep`: verdicts that
    alarmed stay, and so do those of whole days and what labels have shown: a version's first
    windows are what its later ones are compared with, for as long as it serves.
    """
    gone = connection.execute(
        "DELETE FROM driftline.verdict_history WHERE window_end < clock_timestamp() - %s::interval"
        " AND judged_at < clock_timestamp() - %s::interval",
        [_HISTORY_KEPT, _HISTORY_KEPT],
    ).rowcount
    for statement in (
        f"""DELETE FROM driftline.verdict WHERE window_seconds < 86400 AND status <> 'alarm'
              AND NOT starts_with(monitor, '{names.REALISED}')
              AND judged_at < clock_timestamp() - %s::interval""",  # noqa: S608 - a constant
        """DELETE FROM driftline.window_stat USING driftline.judged_window AS j
            WHERE window_stat.window_seconds < 86400 AND j.model = window_stat.model
              AND j.window_seconds = window_stat.window_seconds
              AND j.window_end = window_stat.window_end
              AND j.judged_at < clock_timestamp() - %s::interval""",
    ):
        gone += connection.execute(statement, [keep]).rowcount
    return gone
