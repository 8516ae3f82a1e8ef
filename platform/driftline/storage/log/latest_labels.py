"""The last word on events: a correction is a later label of the same event."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from driftline.storage.connection import Connection

# A statement of its own: within a join the planner guesses one row, and reads all labels once for
# each event.
_TRUTH = """
SELECT DISTINCT ON (event_id) event_id, label FROM driftline.label
 WHERE model = %s AND label_time > %s AND label_time <= %s AND event_id = ANY(%s)
 ORDER BY event_id, label_time DESC
"""


EVER = datetime.max.replace(tzinfo=UTC)


def latest(
    connection: Connection,
    model: str,
    after: datetime,
    ids: Sequence[str],
    *,
    until: datetime = EVER,
) -> npt.NDArray[np.float64]:
    """The last label of each event, float64[n]; NaN where none has come.

    Parameters:
        after: no later than the first of the events: truth is known after its event, so older
            labels need not be read.
        ids: of n events.
        until: only what was known by then.
    """
    found = connection.execute(_TRUTH, [model, after, until, ids]).fetchall()
    known: dict[str, float] = dict(found)
    return np.array([known.get(one, np.nan) for one in ids], dtype=np.float64)
