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

#: The largest sample: errors are small at this size, and reading it takes seconds.
SAMPLE = 100_000

_QUERY_TIMEOUT = 60  # seconds per query
_FIRST_SLAB = timedelta(minutes=10)


@dataclass(frozen=True)
class Pairs:
    """n events that both versions scored, the latest first.

    Attributes:
        champion: float64[n], the champion's score.
        candidate: float64[n], the candidate's score; NaN where it failed.
        champion_ms, candidate_ms: float64[n], how long the inference took.
        label: float64[n], the latest label; NaN if labels were not requested.
    """

    champion: npt.NDArray[np.float64]
    candidate: npt.NDArray[np.float64]
    champion_ms: npt.NDArray[np.float64]
    candidate_ms: npt.NDArray[np.float64]
    label: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.champion)

    def latest(self, n: int) -> "Pairs":
        """The latest n of the events."""
        return Pairs(*(getattr(self, name)[:n] for name in _COLUMNS))


NO_PAIRS = Pairs(*(np.empty(0),) * 5)
_COLUMNS = ("champion", "candidate", "champion_ms", "candidate_ms", "label")

# Both bounds on both sides: the planner does not pass inequalities through a join to skip chunks.
_JOINED = """
  (SELECT a.event_time, a.event_id, a.score AS champion, b.score AS candidate,
          a.inference_ms AS champion_ms, b.inference_ms AS candidate_ms
     FROM {first} AS a
     JOIN {second} AS b ON b.event_time = a.event_time AND b.event_id = a.event_id
    WHERE a.model_version = {champion} AND b.model_version = {candidate}
      AND a.event_time > {after} AND a.event_time <= {until}
      AND b.event_time > {after} AND b.event_time <= {until}
    ORDER BY a.event_time DESC LIMIT {limit})
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

    Reads backwards in slabs of time that double, until `limit` events are found or the window ends:
    frequent pairs are found in a short slab, rare ones cost few queries.

    Parameters:
        postgres: connects as role `read`.
        model: the model's name in the config.
        champion, candidate: the two versions.
        window: how far back, from the model's latest event.
        labelled: only events whose label is known, with it.
        limit: how many at most, in total and per slab.

    Raises:
        ServiceError: the database is unavailable, or too slow for the window.
    """
    parts: list[Pairs] = []
    timeout = f"-c statement_timeout={_QUERY_TIMEOUT}s"
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
                    label = (
                        latest_labels.latest(connection, model, after, ids) if labelled else None
                    )
                    parts.append(_pairs(batch, label))
        except psycopg.errors.QueryCanceled as error:
            raise ServiceError(
                f"reading the live evidence of model {model!r} took more than {_QUERY_TIMEOUT} s "
                "per query: shorten gates.evidence_window or reduce the database load"
            ) from error
    if not parts:
        return NO_PAIRS
    joined = (np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS)
    return Pairs(*joined).latest(limit)


def _query(  # noqa: PLR0917 - each is part of the SQL
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
            first=first,
            second=second,
            champion=champion,
            candidate=candidate,
            after=after,
            until=until,
            limit=limit,
        )
        for first, second in ((served, shadow), (shadow, served), (shadow, shadow))
    ]
    return sql.SQL(_LATEST).format(pairs=sql.SQL(" UNION ALL ").join(joined), limit=limit)


def _latest(connection: Connection, model: str) -> datetime | None:
    query = sql.SQL("SELECT max(event_time) FROM {}").format(
        sql.Identifier(names.SCHEMA, names.shadow_table(model))
    )
    row = connection.execute(query).fetchone()
    return None if row is None else row[0]


def _slabs(latest: datetime | None, window: timedelta) -> Iterator[tuple[datetime, datetime]]:
    """(after, until], backwards from the latest event; each as long as all before it together."""
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
    has_label = np.isfinite(label)
    return Pairs(*[column[has_label] for column in [*columns, label]])
