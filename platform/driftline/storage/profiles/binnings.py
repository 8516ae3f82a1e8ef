"""Stored binnings, which define the cells of profiles, by id."""

from functools import lru_cache

from driftline.errors import SchemaError
from driftline.profile.binning import Binning
from driftline.storage.connection import Connection


def read(connection: Connection, binning_id: str) -> Binning:
    """A stored binning.

    Raises:
        SchemaError: it is not stored.
    """
    row = connection.execute(
        "SELECT spec::text FROM driftline.binning WHERE id = %s", [binning_id]
    ).fetchone()
    if row is None:
        raise SchemaError(
            f"binning {binning_id!r} is not stored, but profiles were counted with it: "
            "restore the table binning"
        )
    return _parse(row[0])


def of_version(connection: Connection, model: str, version: int) -> Binning | None:
    """The binning that a version was registered with; None before a job has loaded it."""
    row = connection.execute(
        """SELECT spec::text FROM driftline.model_version AS v
             JOIN driftline.binning ON binning.id = v.binning_id
            WHERE v.model = %s AND v.version = %s""",
        [model, version],
    ).fetchone()
    return None if row is None else _parse(row[0])


# one object per binning, shared by all versions that have it, because results are cached on it
@lru_cache(maxsize=1024)
def _parse(spec: str) -> Binning:
    return Binning.from_json(spec)
