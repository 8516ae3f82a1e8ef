"""Stored reports: HTML, compressed, linked from the verdicts and incidents of their window."""

import gzip
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from driftline.errors import DriftlineError
from driftline.storage.connection import Connection


class Report(NamedTuple):
    """A stored report without its HTML.

    Attributes:
        id: report ID.
        since, until: the window, [since, until).
        rows: how many of the window's rows it is based on.
        summary: its main numbers.
    """

    id: int
    model: str
    since: datetime
    until: datetime
    rows: int
    summary: dict[str, Any]


def store(
    connection: Connection,
    model: str,
    since: datetime,
    until: datetime,
    *,
    rows: int,
    summary: dict[str, Any],
    html: str,
) -> int:
    """Store a report and link it from the verdicts and incidents of its window; returns its ID.

    A newer report of the same window replaces the older one in the links.

    Parameters:
        connection: as role `write`.
    """
    with connection.transaction():
        row = connection.execute(
            """INSERT INTO driftline.report (model, since, until, rows, summary, html)
               VALUES (%s, %s, %s, %s, %s, %s) RETURNING id""",
            (model, since, until, rows, Jsonb(summary), gzip.compress(html.encode(), mtime=0)),
        ).fetchone()
        assert row is not None
        window = {"id": row[0], "model": model, "since": since, "until": until}
        connection.execute(
            """UPDATE driftline.verdict SET report_id = %(id)s
                WHERE model = %(model)s AND window_end = %(until)s
                  AND window_end - window_seconds * interval '1 second' = %(since)s""",
            window,
        )
        connection.execute(
            """UPDATE driftline.incident SET report_id = %(id)s
                WHERE model = %(model)s AND since < %(until)s AND last > %(since)s""",
            window,
        )
    return int(row[0])


def html(connection: Connection, number: int) -> str:
    """The HTML of a report.

    Raises:
        DriftlineError: there is no such report.
    """
    row = connection.execute("SELECT html FROM driftline.report WHERE id = %s", [number]).fetchone()
    if row is None:
        raise DriftlineError(f"no report {number!r} is stored: 'driftline report' creates one")
    return gzip.decompress(row[0]).decode()


def find(connection: Connection, model: str, limit: int = 50) -> list[Report]:
    """The stored reports of a model, newest window first."""
    rows = connection.execute(
        """SELECT id, model, since, until, rows, summary FROM driftline.report
            WHERE model = %s ORDER BY until DESC, id DESC LIMIT %s""",
        [model, limit],
    ).fetchall()
    return [Report(*row) for row in rows]
