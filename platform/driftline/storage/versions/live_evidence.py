"""Live events that two versions have scored: a bounded sample of the latest, for the gates."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

from driftline import names
from driftline.config import Postgres
from driftline.errors import ServiceError
from driftline.storage.connection import Connection, connect
from driftline.storage.log import latest_labels
from driftline.storage.log.rows import stream
from driftline.storage.tables import shadow_table

#: A sample is no larger: errors are small by then, and reading it takes seconds.
SAMPLE = 100_000

_PATIENCE = 60  # seconds a query
_FIRST_SLAB = timedelta(minutes=10)


@dataclass(frozen=True)
class Pairs:
    """n events that both versions scored, the latest first.

    Attributes:
        champion: float64[n], the score of the one.
        candidate: float64[n], the score of the other; NaN where it failed.
        champion_ms, candidate_ms: float64[n], how long the inference took.
        label: float64[n], the latest known truth; NaN where it was not asked for.
    """

    champion: npt.NDArray[np.float64]
    candidate: npt.NDArray[np.float64]
    champion_ms: npt.NDArray[np.float64]
    candidate_ms: npt.NDArray[np.float64]
    label: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.champion)

    def latest(self, n: int) -> "Pairs":
        """The first n of them."""
        return Pairs(*(getattr(self, name)[:n] for name in _COLUMNS))


NO_PAIRS = Pairs(*(np.empty(0),) * 5)
_COLUMNS = ("champion", "candidate", "champion_ms", "candidate_ms", "label")

# Both bounds on both sides: the planner passes no inequality through a join, and skips no chunk.
_JOINED = """
  (SELECT one.event_time, one.event_id, one.score AS champion, other.score AS candidate,
          one.inference_ms AS champion_ms, other.inference_ms AS candidate_ms
     FROM {one} AS one
     JOIN {other} AS other ON other.event_time = one.event_time AND other.event_id = one.event_id
    WHERE one.model_version = {champion} AND other.model_version = {candidate}
      AND one.event_time > {after} AND one.event_time <= {until}
      AND other.event_time > {after} AND other.event_time <= {until}
    ORDER BY one.event_time DESC LIMIT {limit})
"""
_LATEST = """
SELECT event_id, champion, candidate, champion_ms, candidate_ms FROM (
  SELECT * FROM ({pairs}) AS pair WHERE champion IS NOT NULL
   ORDER BY event_time DESC LIMIT {limit}) AS latest
"""


def pairs(
    postgres: Postgres,
    model: str,
    champion: int,
    candidate: int,
    *,
    window: timedelta,
    labelled: bool = False,
    limit: int = SAMPLE,
) -> Pairs:
    """The latest events that both versions have scored.

    Read backwards in slabs of time that double, until there are `limit` of them or the window
    is behind: what is common is found in a short slab, what is rare costs few queries.

    Parameters:
        postgres: read as role `read`.
        model: the model's name in the config.
        champion, candidate: the two versions.
        window: how far back, from the model's latest event.
        labelled: only events whose label is known, with it.
        limit: how many at most, in all and of a slab.

    Raises:
        ServiceError: the database is away, or too slow for the window.
    """
    parts: list[Pairs] = []
    timeout = f"-c statement_timeout={_PATIENCE}s"
    with connect(postgres, "read", autocommit=True, options=timeout) as connection:
        if not shadow_table.exists(connection, model):
            return NO_PAIRS
        try:
            for after, until in _slabs(_latest(connection, model), window):
                if sum(map(len, parts)) >= limit:
                    break
                query = _query(model, champion, candidate, after, until, limit)
                for batch in list(stream(connection, query, None)):
                    ids = batch.column("event_id").to_pylist()
                    known = (
                        latest_labels.latest(connection, model, after, ids) if labelled else None
                    )
                    parts.append(_pairs(batch, known))
        except psycopg.errors.QueryCanceled as error:
            raise ServiceError(
                f"reading the live evidence of model {model!r} took more than {_PATIENCE} s a "
                "query: shorten gates.window, or look at what the database is busy with"
            ) from error
    if not parts:
        return NO_PAIRS
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS)
    return Pairs(*joined).latest(limit)


def _query(  # noqa: PLR0917 - each goes into the SQL
    model: str,
    champion: int,
    candidate: int,
    after: datetime,
    until: datetime,
    limit: int,
) -> sql.Composed:
    """Either version may have served the event, in a canary, or neither of them."""
    served = sql.Identifier(names.SCHEMA, names.prediction_table(model))
    shadow = sql.Identifier(names.SCHEMA, names.shadow_table(model))
    joined = [
        sql.SQL(_JOINED).format(
            one=one,
            other=other,
            champion=champion,
            candidate=candidate,
            after=after,
            until=until,
            limit=limit,
        )
        for one, other in ((served, shadow), (shadow, served), (shadow, shadow))
    ]
    return sql.SQL(_LATEST).format(pairs=sql.SQL(" UNION ALL ").join(joined), limit=limit)


def _latest(connection: Connection, model: str) -> datetime | None:
    query = sql.SQL("SELECT max(event_time) FROM {}").format(
        sql.Identifier(names.SCHEMA, names.shadow_table(model))
    )
    row = connection.execute(query).fetchone()
    return None if row is None else row[0]


def _slabs(latest: datetime | None, window: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """(after, until], from the latest event backwards, each as long as all before it."""
    if latest is None:
        return
    until, reach = latest, min(_FIRST_SLAB, window)
    while until > latest - window:
        after = max(latest - reach, latest - window)
        yield after, until
        until, reach = after, reach * 2


def _pairs(batch: pa.RecordBatch, label: npt.NDArray[np.float64] | None) -> Pairs:
    """The rows of a batch; with labels, only those that have one."""
    columns = [
        np.asarray(batch.column(name).to_numpy(zero_copy_only=False), dtype=np.float64)
        for name in _COLUMNS[:-1]
    ]
    if label is None:
        return Pairs(*[*columns, np.full(len(batch), np.nan)])
    known = np.isfinite(label)
    return Pairs(*[column[known] for column in [*columns, label]])
