"""Null distributions found for a version's tests, so that a new runner need not find them again."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from driftline.storage.connection import Connection


class Key(NamedTuple):
    """What a null belongs to: a monitor of a column, in windows of a length and a size in rows."""

    monitor: str
    column: str
    seconds: int
    size: float


StoredNull = dict[str, Any] | None  # None: the reference has too few windows of that size


def read(
    connection: Connection, model: str, version: int, segment: str, digest: str
) -> dict[Key, StoredNull]:
    """The null distributions of a version's segment.

    Parameters:
        digest: of the settings that they depend on; nulls of other settings are left out.
    """
    rows = connection.execute(
        """SELECT monitor, "column", window_seconds, size, "null" FROM driftline.calibration
            WHERE model = %s AND version = %s AND segment = %s AND reference_digest = %s""",
        [model, version, segment, digest],
    ).fetchall()
    return {Key(*key): null or None for *key, null in rows}


def write(
    connection: Connection,
    model: str,
    version: int,
    segment: str,
    digest: str,
    *,
    nulls: Mapping[Key, StoredNull],
) -> None:
    """Store null distributions; storing the same ones again changes nothing.

    Parameters:
        connection: as role `write`.
    """
    if not nulls:
        return
    connection.cursor().executemany(
        """INSERT INTO driftline.calibration (model, version, segment, monitor, "column",
                                              window_seconds, size, reference_digest, "null")
           VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT (model, version, segment, "column", monitor, window_seconds, size)
           DO UPDATE SET reference_digest = excluded.reference_digest, "null" = excluded."null",
                         computed_at = clock_timestamp()""",
        [
            (model, version, segment, *key, digest, Jsonb({} if null is None else null))
            for key, null in nulls.items()
        ],
    )
