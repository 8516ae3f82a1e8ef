"""The alert state of every family of every model: one row each, always present."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from driftline.storage.connection import Connection

State = Literal["ok", "pending", "firing", "no_data", "broken"]

_COLUMNS = """a.model, a.family, a.team, a.state, a.severity, a.since, a.updated_at, a.incident_id,
    a.silenced_until, a.version, a."columns", a.summary, i.acknowledged_by"""


@dataclass(frozen=True)
class Alert:
    """One row of the table `alert`.

    Attributes:
        since: when the state began, in real time.
        columns: the alarming columns, comma-separated.
        acknowledged_by: who acknowledged its incident.
    """

    model: str
    family: str
    team: str
    state: State
    severity: str
    since: datetime
    updated_at: datetime
    incident_id: int | None
    silenced_until: datetime | None
    version: int | None
    columns: str
    summary: str
    acknowledged_by: str | None


def ensure(
    connection: Connection, model: str, team: str, severities: Iterable[tuple[str, str]]
) -> None:
    """Create the missing rows of a model, in state `no_data`: nothing was judged yet.

    Parameters:
        severities: (family, ticket or page).
    """
    for family, severity in severities:
        connection.execute(
            """INSERT INTO driftline.alert (model, family, team, state, severity, since)
               VALUES (%s, %s, %s, 'no_data', %s, clock_timestamp())
               ON CONFLICT (model, family) DO UPDATE SET team = excluded.team
                WHERE alert.team <> excluded.team""",
            (model, family, team, severity),
        )


def read(connection: Connection, model: str | None = None) -> list[Alert]:
    """The alerts of one model, or of all."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS}
              FROM driftline.alert a LEFT JOIN driftline.incident i ON i.id = a.incident_id
             WHERE %(model)s::text IS NULL OR a.model = %(model)s
             ORDER BY a.model, a.family""",  # noqa: S608
        {"model": model},
    ).fetchall()
    return [Alert(*row) for row in rows]


def set_state(
    connection: Connection,
    model: str,
    family: str,
    *,
    state: State,
    severity: str,
    incident_id: int | None = None,
    version: int | None = None,
    columns: str = "",
    summary: str = "",
) -> None:
    """Set the state of a family; a new state updates `since`."""
    connection.execute(
        """UPDATE driftline.alert
              SET since = CASE WHEN state = %(state)s THEN since ELSE clock_timestamp() END,
                  state = %(state)s, severity = %(severity)s, incident_id = %(incident)s,
                  version = %(version)s, "columns" = %(columns)s, summary = %(summary)s,
                  updated_at = clock_timestamp()
            WHERE model = %(model)s AND family = %(family)s""",
        {
            "model": model,
            "family": family,
            "state": state,
            "severity": severity,
            "incident": incident_id,
            "version": version,
            "columns": columns,
            "summary": summary,
        },
    )
