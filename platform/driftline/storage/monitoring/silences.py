"""Silences: no notifications about a model, or one family of it, until they end."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from driftline.storage.connection import Connection

_COLUMNS = "id, model, family, starts_at, ends_at, created_by, reason, grafana_id"


@dataclass(frozen=True)
class Silence:
    """One row of the table `silence`.

    Attributes:
        family: None for all.
        grafana_id: ID of the corresponding silence in Grafana, if any.
    """

    id: int
    model: str
    family: str | None
    starts_at: datetime
    ends_at: datetime
    created_by: str
    reason: str
    grafana_id: str | None


def active(connection: Connection, model: str | None = None) -> list[Silence]:
    """The active silences of one model, or of all."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM driftline.silence
             WHERE (%(model)s::text IS NULL OR model = %(model)s)
               AND starts_at <= clock_timestamp() AND ends_at > clock_timestamp()
             ORDER BY id""",  # noqa: S608
        {"model": model},
    ).fetchall()
    return [Silence(*row) for row in rows]


def add(
    connection: Connection,
    model: str,
    family: str | None,
    length: timedelta,
    *,
    by: str,
    reason: str,
) -> int:
    """Add a silence that starts now; returns its ID."""
    with connection.transaction():
        row = connection.execute(
            """INSERT INTO driftline.silence (model, family, ends_at, created_by, reason)
               VALUES (%s, %s, clock_timestamp() + %s::interval, %s, %s) RETURNING id""",
            (model, family, length, by, reason),
        ).fetchone()
        refresh(connection, model)
    assert row is not None
    return int(row[0])


def end(connection: Connection, model: str, family: str | None) -> int:
    """End the silences of a model, or of one family of it; returns their number."""
    with connection.transaction():
        ended = connection.execute(
            """UPDATE driftline.silence SET ends_at = clock_timestamp()
                WHERE model = %(model)s AND ends_at > clock_timestamp()
                  AND (%(family)s::text IS NULL OR family = %(family)s)""",
            {"model": model, "family": family},
        ).rowcount
        refresh(connection, model)
    return ended


def refresh(connection: Connection, model: str) -> None:
    """Update `silenced_until` in the alerts of a model."""
    connection.execute(
        """UPDATE driftline.alert
              SET silenced_until = (SELECT max(s.ends_at) FROM driftline.silence AS s
                                     WHERE s.model = alert.model
                                       AND (s.family IS NULL OR s.family = alert.family)
                                       AND s.starts_at <= clock_timestamp()
                                       AND s.ends_at > clock_timestamp()),
                  updated_at = clock_timestamp()
            WHERE model = %s""",
        [model],
    )
