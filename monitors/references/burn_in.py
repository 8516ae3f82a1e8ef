"""Live windows replace a reference without times, once there are enough of them."""

import logging
from datetime import UTC, datetime

from driftline import names
from driftline.errors import DriftlineError
from driftline.monitoring import Monitors
from driftline.storage.connection import Connection
from monitors.references.set_reference import live

log = logging.getLogger(__name__)

_NOTE = "after burn-in"


def replace(connection: Connection, model: str, settings: Monitors, clock: datetime) -> list[int]:
    """Replace provisional references by the whole days of the last `burn_in`.

    Training data is usually shuffled: how much days differ is not in it. A version that has served
    for so long shows it.

    Parameters:
        connection: as role `write`; the caller's transaction.
        clock: the model's time.

    Returns:
        The versions that have a new reference.
    """
    until = datetime.fromtimestamp(clock.timestamp() // 86_400 * 86_400, UTC)
    since = until - settings.burn_in
    replaced = []
    for version in _ripe(connection, model, since):
        try:
            with connection.transaction():
                live(connection, model, settings, (since, until), version=version, note=_NOTE)
        except DriftlineError as error:
            log.warning("the reference of %s version %d stays: %s", model, version, error)
            continue
        log.info("%s version %d: live windows are its reference now", model, version)
        replaced.append(version)
    return replaced


def _ripe(connection: Connection, model: str, since: datetime) -> list[int]:
    """Versions with a reference without times that have served since before `since`."""
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


def checks(last: datetime | None, clock: datetime) -> bool:
    """Once a day of the model's time is often enough.

    >>> checks(datetime(2024, 3, 1, 23, tzinfo=UTC), datetime(2024, 3, 2, 1, tzinfo=UTC))
    True
    """
    return last is None or clock.date() != last.date()
