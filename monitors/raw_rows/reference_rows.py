"""Raw rows of a reference: of its window when it was live, else those kept at registration."""

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
    """Sampled rows of a reference, and what they are, for people."""

    rows: pa.Table
    origin: str


def read(connection: Connection, model: str, version: int, rows: int) -> RawReference:
    """A sample of a version's reference.

    Parameters:
        rows: how many at most; of a registered reference up to 5,000 were kept.

    Raises:
        DriftlineError: no raw rows of it are kept.
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
    kept = reference_sample.load(connection, model, version)
    if kept is None:
        raise DriftlineError(
            f"no raw rows of the reference of model {model!r} version {version} are kept: register "
            "the version again, or set its reference to a window whose rows are still stored"
        )
    return RawReference(sample.thin(kept, rows), origin or "registration")


# a window is as busy as its blocks are, of the longest that fit into it
_WINDOWS = """
SELECT one.start FROM driftline.reference AS r, LATERAL (
  SELECT to_timestamp(floor(extract(epoch FROM b.start) / %(seconds)s) * %(seconds)s) AS start,
         sum(b.rows) AS rows
    FROM driftline.reference_block AS b
   WHERE b.model = r.model AND b.version = r.version AND b.segment = %(segment)s
     AND b.seconds = (SELECT max(seconds) FROM driftline.reference_block
                       WHERE model = r.model AND version = r.version AND segment = %(segment)s
                         AND mod(%(seconds)s, seconds) = 0)
   GROUP BY 1) AS one
 WHERE r.model = %(model)s AND r.version = %(version)s AND r.origin = 'window'
   AND one.rows >= %(fewest)s AND one.start >= r.since
   AND one.start + make_interval(secs => %(seconds)s) <= r.until
 ORDER BY 1
"""


def windows(
    connection: Connection, model: str, version: int, length: timedelta, *, most: int, fewest: int
) -> list[datetime]:
    """Where a live reference's own windows start, evenly spread over it.

    Parameters:
        length: of a window.
        most: how many at most.
        fewest: rows of a window.
    """
    values = {
        "model": model,
        "version": version,
        "segment": names.ALL_ROWS,
        "seconds": int(length.total_seconds()),
        "fewest": fewest,
    }
    starts = [start for (start,) in connection.execute(_WINDOWS, values).fetchall()]
    spread = np.linspace(0, len(starts) - 1, min(most, len(starts))).round().astype(int)
    return [starts[place] for place in spread.tolist()]
