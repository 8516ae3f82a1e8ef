"""Raw rows of a version's reference that came without times: a bounded sample, as one value."""

import pyarrow as pa

from driftline.profile import sample
from driftline.storage.connection import Connection


def keep(connection: Connection, model: str, version: int, packed: bytes) -> None:
    """Store the sample that came with a version, unless there is one.

    Parameters:
        connection: as role `write`.
        packed: of `driftline.profile.sample.pack`.
    """
    connection.execute(
        """INSERT INTO driftline.reference_sample (model, version, rows, parquet)
           VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING""",
        (model, version, len(sample.unpack(packed)), packed),
    )


def replace(connection: Connection, model: str, version: int, rows: pa.Table) -> None:
    """Store the rows of a reference that was set anew.

    Parameters:
        connection: as role `write`.
        rows: of `driftline.profile.sample.take`.
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
    """The features and the score of the rows; None when none were kept.

    Raises:
        SchemaError: what is stored cannot be read.
    """
    row = connection.execute(
        "SELECT parquet FROM driftline.reference_sample WHERE model = %s AND version = %s",
        [model, version],
    ).fetchone()
    return None if row is None else sample.unpack(row[0])
