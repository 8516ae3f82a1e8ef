"""Minutes of event time whose counts changed since the monitors last read them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from driftline.kafka import intervals
from driftline.kafka.intervals import Ints
from driftline.storage.connection import Connection


def models(connection: Connection, candidates: Sequence[str]) -> set[str]:
    """Which of the models have changed minutes."""
    rows = connection.execute(
        """SELECT name FROM unnest(%s::text[]) AS name
            WHERE EXISTS (SELECT FROM driftline.dirty_window WHERE model = name)""",
        [list(candidates)],
    ).fetchall()
    return {name for (name,) in rows}


def pending(connection: Connection, model: str) -> Ints:
    """The minutes that `consume` would return; their marks are kept."""
    rows = connection.execute(
        "SELECT minutes FROM driftline.dirty_window WHERE model = %s", [model]
    ).fetchall()
    return _union(rows)


def consume(connection: Connection, model: str) -> Ints:
    """The changed minutes, int64[n, 2] as [first, end) since 1970; deletes their marks.

    The marks are deleted when the caller's transaction commits. Counts are committed together with
    their marks, so profiles read after this contain all marked changes.
    """
    rows = connection.execute(
        "DELETE FROM driftline.dirty_window WHERE model = %s RETURNING minutes", [model]
    ).fetchall()
    return _union(rows)


def expire(connection: Connection, marked_before: datetime) -> int:
    """Delete marks that no monitor read: they would accumulate forever where none runs.

    Also deletes the hour sums of these models, which might miss the marked changes.
    """
    connection.execute(
        """DELETE FROM driftline.profile_hour WHERE model IN
             (SELECT model FROM driftline.dirty_window WHERE marked_at < %s)""",
        [marked_before.astimezone(UTC)],
    )
    return connection.execute(
        "DELETE FROM driftline.dirty_window WHERE marked_at < %s", [marked_before.astimezone(UTC)]
    ).rowcount


def _union(rows: Iterable[tuple[Any, ...]]) -> Ints:
    pairs = [(minutes.lower, minutes.upper) for (ranges,) in rows for minutes in ranges]
    return intervals.union(np.array(pairs, dtype=np.int64).reshape(-1, 2))
