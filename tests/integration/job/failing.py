"""A transform that fails on one value; all fields and columns of the query are features."""

import pyarrow as pa
import pyarrow.compute as pc

from driftline.names import SYSTEM_COLUMNS

FAILS = 41.0


def transform(events: pa.RecordBatch) -> pa.RecordBatch:
    """The fields as they are."""
    if pc.any(pc.equal(events.column("amount"), FAILS)).as_py():
        raise ValueError(f"amount {FAILS}")
    return events.select([name for name in events.schema.names if name not in SYSTEM_COLUMNS])
