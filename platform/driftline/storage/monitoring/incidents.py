"""Incidents: related alarms of one model and family, from the first to the last."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from driftline.errors import DriftlineError
from driftline.storage.connection import Connection

_COLUMNS = (
    "id, model, family, severity, version, since, last, opened_at, resolved_at, summary,"
    " contributors, false_alarms_per_week, report_id, acknowledged_at, acknowledged_by, note,"
    " resolution"
)


@dataclass(frozen=True)
class Incident:
    """One row of the table `incident`.

    Attributes:
        severity: ticket or page.
        since, last: start of the first and end of the newest window that alarmed.
        contributors: what alarmed, largest effect first; each with column, monitor, segment,
            window_seconds, value, expected, p_value, effect, detail.
        false_alarms_per_week: expected rate of incidents of this kind without any change.
        note: by the person who acknowledged it.
        resolution: why it ended.
    """

    id: int
    model: str
    family: str
    severity: str
    version: int | None
    since: datetime
    last: datetime
    opened_at: datetime
    resolved_at: datetime | None
    summary: str
    contributors: Sequence[dict[str, Any]]
    false_alarms_per_week: float | None
    report_id: int | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str
    resolution: str

    @property
    def content(self) -> "Content":
        """The part that changes while it is open."""
        return Content(**{field.name: getattr(self, field.name) for field in fields(Content)})


@dataclass(frozen=True)
class Content:
    """The part of an incident that changes while it is open; fields as in `Incident`."""

    severity: str
    version: int | None
    since: datetime
    last: datetime
    summary: str
    contributors: Sequence[dict[str, Any]]
    false_alarms_per_week: float | None
    report_id: int | None = None


def unresolved(connection: Connection, model: str) -> dict[str, Incident]:
    """The unresolved incidents of a model, by family."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM driftline.incident WHERE model = %s AND resolved_at IS NULL",  # noqa: S608
        [model],
    ).fetchall()
    return {incident.family: incident for incident in (Incident(*row) for row in rows)}


def get(connection: Connection, number: int) -> Incident | None:
    """One incident; None if it does not exist."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM driftline.incident WHERE id = %s",  # noqa: S608
        [number],
    ).fetchone()
    return None if row is None else Incident(*row)


def require(connection: Connection, number: int) -> Incident:
    """One incident.

    Raises:
        DriftlineError: there is no such incident.
    """
    incident = get(connection, number)
    if incident is None:
        raise DriftlineError(f"no incident {number}: 'driftline alerts history' lists them")
    return incident


def history(connection: Connection, model: str | None, limit: int) -> list[Incident]:
    """The newest incidents, of one model or of all."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM driftline.incident
             WHERE %(model)s::text IS NULL OR model = %(model)s
             ORDER BY opened_at DESC, id DESC LIMIT %(limit)s""",  # noqa: S608
        {"model": model, "limit": limit},
    ).fetchall()
    return [Incident(*row) for row in rows]


def opened_since(connection: Connection, since: datetime, models: Sequence[str]) -> list[Incident]:
    """The incidents of these models that were opened since a time, oldest first."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM driftline.incident
             WHERE opened_at >= %s AND model = ANY(%s) ORDER BY id""",  # noqa: S608
        (since, list(models)),
    ).fetchall()
    return [Incident(*row) for row in rows]


def start(connection: Connection, model: str, family: str, content: Content) -> int:
    """Open an incident; gives its number."""
    row = connection.execute(
        """INSERT INTO driftline.incident (model, family, severity, version, since, last, summary,
                                           contributors, false_alarms_per_week, report_id)
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING id""",
        (model, family, *_values(content)),
    ).fetchone()
    assert row is not None
    return int(row[0])


def update(connection: Connection, number: int, content: Content) -> None:
    """Update an open incident."""
    connection.execute(
        """UPDATE driftline.incident
              SET severity = %s, version = %s, since = %s, last = %s, summary = %s,
                  contributors = %s, false_alarms_per_week = %s,
                  report_id = coalesce(%s, report_id),
                  updated_at = clock_timestamp()
            WHERE id = %s""",
        (*_values(content), number),
    )


def resolve(connection: Connection, number: int, resolution: str) -> None:
    """Resolve an incident, with the reason."""
    connection.execute(
        """UPDATE driftline.incident
              SET resolved_at = clock_timestamp(), updated_at = clock_timestamp(), resolution = %s
            WHERE id = %s AND resolved_at IS NULL""",
        (resolution, number),
    )


def acknowledge(connection: Connection, number: int, by: str, note: str) -> bool:
    """Acknowledge an incident; false if it is resolved or does not exist."""
    done = connection.execute(
        """UPDATE driftline.incident
              SET acknowledged_at = clock_timestamp(), acknowledged_by = %s, note = %s,
                  updated_at = clock_timestamp()
            WHERE id = %s AND resolved_at IS NULL""",
        [by, note, number],
    )
    return bool(done.rowcount)


def _values(content: Content) -> tuple[object, ...]:
    return (
        content.severity,
        content.version,
        content.since,
        content.last,
        content.summary,
        Jsonb(list(content.contributors)),
        content.false_alarms_per_week,
        content.report_id,
    )
