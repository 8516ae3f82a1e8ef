"""The latest label of each event: a correction is a later label of the same event."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from driftline.storage.connection import Connection

# A separate statement: within a join the planner estimates one row and reads all labels for each
# event.
_LABELS = """
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
    """The latest label of each event, float64[n]; NaN for events without one.

    Parameters:
        after: no later than the first of the events: a label arrives after its event, so older
            labels need not be read.
        ids: of n events.
        until: only labels with times up to then.
    """
    rows = connection.execute(_LABELS, [model, after, until, ids]).fetchall()
    labels: dict[str, float] = dict(rows)
    return np.array([labels.get(event_id, np.nan) for event_id in ids], dtype=np.float64)
