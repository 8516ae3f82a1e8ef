"""Which minutes of event time were counted since the monitors looked last."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from driftline.kafka import intervals
from driftline.kafka.intervals import Ints
from driftline.storage.connection import Connection


def models(connection: Connection, among: Sequence[str]) -> set[str]:
    """Which of the models have something new."""
    rows = connection.execute(
        """SELECT name FROM unnest(%s::text[]) AS name
            WHERE EXISTS (SELECT FROM driftline.dirty_window WHERE model = name)""",
        [list(among)],
    ).fetchall()
    return {name for (name,) in rows}


def pending(connection: Connection, model: str) -> Ints:
    """The minutes that `take` would give; their marks stay."""
    rows = connection.execute(
        "SELECT minutes FROM driftline.dirty_window WHERE model = %s", [model]
    ).fetchall()
    return _union(rows)


def take(connection: Connection, model: str) -> Ints:
    """The minutes that changed, int64[n, 2] as [first, end) since 1970; they are marked as seen.

    The marks are gone when the caller's transaction commits. Rows that were counted are committed
    with their marks, so what is read after this holds all that was marked.
    """
    rows = connection.execute(
        "DELETE FROM driftline.dirty_window WHERE model = %s RETURNING minutes", [model]
    ).fetchall()
    return _union(rows)


def expire(connection: Connection, before: datetime) -> int:
    """Forget marks that nobody has read: where no monitors run, they would grow for ever.

    With them goes what was added up of these models: it may lack what was marked.
    """
    connection.execute(
        """DELETE FROM driftline.profile_hour WHERE model IN
             (SELECT model FROM driftline.dirty_window WHERE marked_at < %s)""",
        [before.astimezone(UTC)],
    )
    return connection.execute(
        "DELETE FROM driftline.dirty_window WHERE marked_at < %s", [before.astimezone(UTC)]
    ).rowcount


def _union(rows: Iterable[tuple[Any, ...]]) -> Ints:
    pairs = [(one.lower, one.upper) for (many,) in rows for one in many]
    return intervals.union(np.array(pairs, dtype=np.int64).reshape(-1, 2))
