"""Replace a reference without times by live windows, once there are enough of them."""

import logging
from datetime import UTC, datetime

from driftline import names
from driftline.config.monitors import Monitors
from driftline.errors import DriftlineError
from driftline.monitors.references.set_reference import live
from driftline.profile.blocks import HOUR, max_span, seconds_of
from driftline.storage.connection import Connection

log = logging.getLogger(__name__)

_Span = tuple[datetime, datetime]  # since, until
_NOTE = "after burn-in"
_WEEKLY = ("day_of_week", "hour_of_week")


def replace(connection: Connection, model: str, settings: Monitors, clock: datetime) -> list[int]:
    """Replace provisional references by the whole days of the last `burn_in`.

    Training data is usually shuffled, so it does not show how much days differ; a version that has
    served for the whole `burn_in` does. Windows shorter than an hour need shorter blocks, which
    limits the number of days: 8 for blocks of 5 minutes.

    Parameters:
        connection: as role `write`; the caller's transaction.
        clock: the model's time.

    Returns:
        The versions that have a new reference.
    """
    until = datetime.fromtimestamp(clock.timestamp() // 86_400 * 86_400, UTC)
    since = until - settings.burn_in
    replaced = []
    for version in _due_versions(connection, model, since):
        try:
            with connection.transaction():
                window, seconds = _window(connection, model, settings, (since, until))
                live(
                    connection,
                    model,
                    settings,
                    window,
                    version=version,
                    seconds=seconds,
                    note=_NOTE,
                )
        except DriftlineError as error:
            log.warning("%s version %d keeps its reference: %s", model, version, error)
            continue
        log.info("%s version %d: reference replaced by live windows", model, version)
        replaced.append(version)
    return replaced


def _due_versions(connection: Connection, model: str, since: datetime) -> list[int]:
    """Versions whose reference has no times and that have served since before `since`."""
    rows = connection.execute(
        """SELECT r.version FROM driftline.reference AS r
            WHERE r.model = %(model)s AND r.block_seconds IS NULL
              AND EXISTS (SELECT FROM driftline.profile AS p
                           WHERE p.model = r.model AND p.version = r.version
                             AND p.binning_id = r.binning_id AND p.role = %(role)s
                             AND p.bucket < %(since)s::timestamptz + interval '1 day')
            ORDER BY r.version""",
        {"model": model, "role": names.SERVED, "since": since},
    ).fetchall()
    return [version for (version,) in rows]


def _window(
    connection: Connection, model: str, settings: Monitors, window: _Span
) -> tuple[_Span, int]:
    """The period of the new reference, and the length of its blocks in seconds.

    Blocks shorter than an hour need minutes that were not merged into hours yet: recounting a week
    of predictions would delay everything else. They are not used if windows are matched by time of
    the week either: they allow so few days that most times of the week would occur only once.
    """
    since, until = window
    minutes = settings.block_minutes
    short = 60 * minutes < HOUR and settings.matching not in _WEEKLY
    first = max(since, until - max_span(60 * minutes))
    if short and not _merged(connection, model, minutes, (first, until)):
        return (first, until), 60 * minutes
    return window, seconds_of(until - since)


def _merged(connection: Connection, model: str, minutes: int, window: _Span) -> bool:
    row = connection.execute(
        """SELECT EXISTS (SELECT FROM driftline.profile
                           WHERE model = %s AND bucket >= %s AND bucket < %s
                             AND span_minutes > %s)""",
        [model, *window, minutes],
    ).fetchone()
    return row == (True,)


def is_due(last: datetime | None, clock: datetime) -> bool:
    """Whether a check is due: once per day of the model's clock.

    >>> is_due(datetime(2024, 3, 1, 23, tzinfo=UTC), datetime(2024, 3, 2, 1, tzinfo=UTC))
    True
    """
    return last is None or clock.date() != last.date()
