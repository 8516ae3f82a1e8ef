"""Raw rows of a reference: of its live window, else those stored at registration."""

from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from driftline import names
from driftline.errors import DriftlineError
from driftline.profile import sample
from driftline.storage.connection import Connection
from driftline.storage.monitoring import reference_sample, window_sample


class RawReference(NamedTuple):
    """Sampled rows of a reference, and their origin, for display."""

    rows: pa.Table
    origin: str


def read(connection: Connection, model: str, version: int, rows: int) -> RawReference:
    """A sample of a version's reference.

    Parameters:
        rows: maximum; of a registered reference up to 5,000 are stored.

    Raises:
        DriftlineError: no raw rows of it are stored.
    """
    row = connection.execute(
        """SELECT origin, since, until FROM driftline.reference
            WHERE model = %s AND version = %s""",
        [model, version],
    ).fetchone()
    origin, since, until = row or ("", None, None)
    if origin == "window" and since is not None and until is not None:
        live = window_sample.read(connection, model, since, until, rows=rows, labelled=True)
        if len(live):
            return RawReference(
                live, f"live rows of {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}"
            )
    stored = reference_sample.load(connection, model, version)
    if stored is None:
        raise DriftlineError(
            f"no raw rows of the reference of model {model!r} version {version} are stored: "
            "register the version again, or set its reference to a window whose rows are stored"
        )
    return RawReference(sample.subsample(stored, rows), origin or "registration")


# rows of a window: the sum over its blocks, of the longest length that divides it
_WINDOWS = """
SELECT w.start FROM driftline.reference AS r, LATERAL (
  SELECT to_timestamp(floor(extract(epoch FROM b.start) / %(seconds)s) * %(seconds)s) AS start,
         sum(b.rows) AS rows
    FROM driftline.reference_block AS b
   WHERE b.model = r.model AND b.version = r.version AND b.segment = %(segment)s
     AND b.seconds = (SELECT max(seconds) FROM driftline.reference_block
                       WHERE model = r.model AND version = r.version AND segment = %(segment)s
                         AND mod(%(seconds)s, seconds) = 0)
   GROUP BY 1) AS w
 WHERE r.model = %(model)s AND r.version = %(version)s AND r.origin = 'window'
   AND w.rows >= %(min_rows)s AND w.start >= r.since
   AND w.start + make_interval(secs => %(seconds)s) <= r.until
 ORDER BY 1
"""


def windows(
    connection: Connection, model: str, version: int, length: timedelta, *, n: int, min_rows: int
) -> list[datetime]:
    """The starts of a live reference's own windows, evenly spread over it.

    Parameters:
        length: of a window.
        n: maximum number of windows.
        min_rows: minimum of rows of a window.
    """
    values = {
        "model": model,
        "version": version,
        "segment": names.ALL_ROWS,
        "seconds": int(length.total_seconds()),
        "min_rows": min_rows,
    }
    starts = [start for (start,) in connection.execute(_WINDOWS, values).fetchall()]
    spread = np.linspace(0, len(starts) - 1, min(n, len(starts))).round().astype(int)
    return [starts[index] for index in spread.tolist()]
