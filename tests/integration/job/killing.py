"""A transform that no worker survives on two values."""

import os
import signal
import time

import pyarrow as pa
import pyarrow.compute as pc

KILLS, HANGS = -666.0, -777.0


def transform(events: pa.RecordBatch) -> pa.RecordBatch:
    """The fields as they are."""
    if pc.any(pc.equal(events.column("amount"), KILLS)).as_py():
        os.kill(os.getpid(), signal.SIGSEGV)
    if pc.any(pc.equal(events.column("amount"), HANGS)).as_py():
        time.sleep(3_600)
    return events.select(["amount", "items", "country"])
