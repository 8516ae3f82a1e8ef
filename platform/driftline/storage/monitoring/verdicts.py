"""The verdicts of the monitors: the newest revision of each test, and the history."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import LiteralString, NamedTuple

from driftline import names
from driftline.config.monitors import PIPELINE
from driftline.storage.connection import Connection


class Row(NamedTuple):
    """One verdict; the fields are those of `driftline.monitors.windows.verdict.Verdict`."""

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


class PastVerdict(NamedTuple):
    """A stored verdict, as monitors read a column's past."""

    end: datetime
    version: int
    status: str
    rows: int
    value: float | None
    effect: float | None
    p_value: float | None
    judged_at: datetime | None = None  # None: not stored yet


FIELDS = ", ".join(f'"{name}"' for name in Row._fields)
_ALL = f"window_end, model, window_seconds, revision, {FIELDS}"
_KEEP_HISTORY = timedelta(days=90)


def write(
    connection: Connection,
    model: str,
    seconds: int,
    end: datetime,
    rows: Iterable[Row],
    *,
    revision: int,
    keep_monitors: Sequence[str] = (),
) -> None:
    """Store the verdicts of a window; earlier ones move to the history, the report link is kept.

    Parameters:
        revision: of the window; 0 the first time.
        keep_monitors: monitors whose verdicts are kept.
    """
    report = None
    if revision:
        values = {"model": model, "seconds": seconds, "end": end, "kept": list(keep_monitors)}
        _, report = _move_to_history(connection, "NOT monitor = ANY(%(kept)s)", values)
    _insert(connection, (end, model, seconds, revision), rows, report)


def write_monitor(
    connection: Connection,
    model: str,
    seconds: int,
    end: datetime,
    rows: Iterable[Row],
    *,
    monitor: str,
    revision: int | None = None,
) -> None:
    """Store one monitor's verdicts of a window; its earlier ones move to the history, the report
    link is kept.

    Parameters:
        revision: higher than the last one; default: the next.
    """
    values = {"model": model, "seconds": seconds, "end": end, "monitor": monitor}
    last, report = _move_to_history(connection, "monitor = %(monitor)s", values)
    if revision is None:
        revision = 0 if last is None else last + 1
    _insert(connection, (end, model, seconds, revision), rows, report)


def _move_to_history(
    connection: Connection, condition: LiteralString, values: dict[str, object]
) -> tuple[int | None, int | None]:
    """Move verdicts of a window to the history; returns their newest revision and report."""
    row = connection.execute(
        f"""WITH moved AS (
              DELETE FROM driftline.verdict
               WHERE model = %(model)s AND window_seconds = %(seconds)s AND window_end = %(end)s
                 AND {condition}
              RETURNING *), stored AS (
            INSERT INTO driftline.verdict_history ({_ALL}, judged_at)
            SELECT {_ALL}, judged_at FROM moved ON CONFLICT DO NOTHING)
            SELECT max(revision), max(report_id) FROM moved""",  # noqa: S608 - constants
        values,
    ).fetchone()
    assert row is not None
    return row[0], row[1]


class WindowVerdict(NamedTuple):
    """The verdict of a monitor with one test per window."""

    status: str
    threshold: float | None
    detail: str


def window_verdicts(
    connection: Connection, model: str, seconds: int, monitor: str, ends: Sequence[datetime]
) -> dict[datetime, WindowVerdict]:
    """The verdicts of a monitor with one test per window, by the ends of the windows."""
    rows = connection.execute(
        """SELECT window_end, status, threshold, detail FROM driftline.verdict
            WHERE model = %s AND window_seconds = %s AND window_end = ANY(%s) AND monitor = %s""",
        [model, seconds, list(ends), monitor],
    ).fetchall()
    return {end: WindowVerdict(*fields) for end, *fields in rows}


def revisions(
    connection: Connection, model: str, seconds: int, monitor: str, *, since: datetime
) -> dict[datetime, int]:
    """The newest revision of a monitor's verdicts of windows that end since a time, by ends."""
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
    """Status, rows and detail of each column that a monitor judged, by the ends of windows."""
    rows = connection.execute(
        """SELECT window_end, "column", status, rows, detail FROM driftline.verdict
            WHERE model = %s AND window_seconds = %s AND window_end = ANY(%s) AND monitor = %s""",
        [model, seconds, list(ends), monitor],
    ).fetchall()
    by_end: dict[datetime, dict[str, tuple[str, int, str]]] = {}
    for end, column, *fields in rows:
        by_end.setdefault(end, {})[column] = (fields[0], fields[1], fields[2])
    return by_end


def of_window(connection: Connection, model: str, seconds: int, end: datetime) -> list[Row]:
    """The current verdicts of one window."""
    rows = connection.execute(
        f"""SELECT {FIELDS} FROM driftline.verdict
             WHERE model = %s AND window_seconds = %s AND window_end = %s
             ORDER BY monitor, "column", segment, version""",  # noqa: S608 - constants
        [model, seconds, end],
    ).fetchall()
    return [Row(*row) for row in rows]


def of_monitor(
    connection: Connection, model: str, seconds: int, monitor: str, since: datetime
) -> dict[datetime, list[Row]]:
    """A monitor's verdicts of the windows that end since a time, by their ends, in order."""
    rows = connection.execute(
        f"""SELECT window_end, {FIELDS} FROM driftline.verdict
             WHERE model = %s AND window_seconds = %s AND window_end >= %s AND monitor = %s
             ORDER BY window_end, "column", segment, version""",  # noqa: S608 - constants
        [model, seconds, since, monitor],
    ).fetchall()
    by_end: dict[datetime, list[Row]] = {}
    for end, *row in rows:
        by_end.setdefault(end, []).append(Row(*row))
    return by_end


class Flags(NamedTuple):
    """The state of a family in one window.

    Attributes:
        alarm: a test that may open incidents alarmed; for the family `pipeline`, any test failed.
        broken: a test of the family failed; for the family `pipeline`, this is an alarm instead.
        empty: nothing could be judged, because of too few rows.
    """

    end: datetime
    alarm: bool
    broken: bool
    empty: bool


def flags(
    connection: Connection, model: str, seconds: int, since: datetime
) -> dict[str, list[Flags]]:
    """The flags of each family in windows of one length that end since a time, in order."""
    rows = connection.execute(
        """SELECT family, window_end, bool_or(status = 'alarm'), bool_or(status = 'broken'),
                  bool_and(status IN ('no_data', 'insufficient'))
             FROM driftline.verdict
            WHERE model = %s AND window_seconds = %s AND window_end >= %s
              AND (alerts OR status = 'broken')
            GROUP BY 1, 2 ORDER BY 1, 2""",
        [model, seconds, since],
    ).fetchall()
    by_family: dict[str, list[Flags]] = {}
    for family, *fields in rows:
        by_family.setdefault(family, []).append(Flags(*fields))
    by_family[PIPELINE] = _pipeline_flags(flag for family in by_family.values() for flag in family)
    return by_family


def nth_newest_end(
    connection: Connection, model: str, seconds: int, family: str, *, until: datetime, n: int
) -> datetime | None:
    """The end of the n-th newest window (or the oldest, if fewer) that ends by `until` and in which
    something of a family was judged; None if there is none."""
    row = connection.execute(
        """SELECT min(window_end) FROM (
             SELECT DISTINCT window_end FROM driftline.verdict
              WHERE model = %(model)s AND window_seconds = %(seconds)s
                AND window_end <= %(until)s AND (alerts OR status = 'broken')
                AND (family = %(family)s OR %(family)s = %(pipeline)s)
                AND status NOT IN ('no_data', 'insufficient')
              ORDER BY window_end DESC LIMIT %(n)s) AS newest""",
        {
            "model": model,
            "seconds": seconds,
            "until": until,
            "family": family,
            "pipeline": PIPELINE,
            "n": n,
        },
    ).fetchone()
    assert row is not None
    end: datetime | None = row[0]
    return end


def _pipeline_flags(flags: Iterable[Flags]) -> list[Flags]:
    """The flags of family `pipeline`, from those of all families."""
    by_end: dict[datetime, list[Flags]] = {}
    for flag in flags:
        by_end.setdefault(flag.end, []).append(flag)
    return [
        Flags(end, any(f.broken for f in group), broken=False, empty=all(f.empty for f in group))
        for end, group in sorted(by_end.items())
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


def past_verdicts(
    connection: Connection,
    model: str,
    seconds: int,
    monitor: str,
    *,
    since: datetime,
    until: datetime,
    every: int = 1,
) -> dict[tuple[str, str], list[PastVerdict]]:
    """(column, segment) -> a monitor's verdicts of windows that end in [since, until], in order.

    If two versions were judged in one window, the one with more rows counts.

    Parameters:
        every: only windows that end at multiples of this number of seconds since 1970.
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
    by_column: dict[tuple[str, str], list[PastVerdict]] = {}
    for column, segment, *fields in rows:
        by_column.setdefault((column, segment), []).append(PastVerdict(*fields))
    return by_column


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
    """Delete expired verdicts; returns the number of deleted rows.

    Older revisions expire after 90 days, windows shorter than a day after `keep`. Kept are alarms,
    verdicts of whole days, and those based on labels: while a version serves, its first windows are
    the baseline for its later ones.
    """
    deleted = connection.execute(
        "DELETE FROM driftline.verdict_history WHERE window_end < clock_timestamp() - %s::interval"
        " AND judged_at < clock_timestamp() - %s::interval",
        [_KEEP_HISTORY, _KEEP_HISTORY],
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
        deleted += connection.execute(statement, [keep]).rowcount
    return deleted
