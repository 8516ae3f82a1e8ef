"""Raw rows of a version's reference without times: a bounded sample, stored as one value."""

import pyarrow as pa

from driftline.profile import sample
from driftline.storage.connection import Connection


def store(connection: Connection, model: str, version: int, packed: bytes) -> None:
    """Store the sample registered with a version, unless one is stored.

    Parameters:
        connection: as role `write`.
        packed: from `driftline.profile.sample.pack`.
    """
    connection.execute(
        """INSERT INTO driftline.reference_sample (model, version, rows, parquet)
           VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        (model, version, len(sample.unpack(packed)), packed),
    )


def replace(connection: Connection, model: str, version: int, rows: pa.Table) -> None:
    """Store the rows of a new reference, replacing the old ones.

    Parameters:
        connection: as role `write`.
        rows: from `driftline.profile.sample.draw`.
    """
    connection.execute(
        """INSERT INTO driftline.reference_sample (model, version, rows, parquet)
           VALUES (%s, %s, %s, %s)
           ON CONFLICT (model, version) DO UPDATE
             SET rows = excluded.rows, parquet = excluded.parquet,
                 created_at = clock_timestamp()""",
        (model, version, len(rows), sample.pack(rows)),
    )


def load(connection: Connection, model: str, version: int) -> pa.Table | None:
    """The features and the score of the rows; None if no rows are stored.

    Raises:
        SchemaError: the stored rows cannot be read.
    """
    row = connection.execute(
        "SELECT parquet FROM driftline.reference_sample WHERE model = %s AND version = %s",
        [model, version],
    ).fetchone()
    return None if row is None else sample.unpack(row[0])
