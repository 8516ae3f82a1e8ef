"""The write that makes a batch durable, once: rows, rejects, profile, ledger, one transaction."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from psycopg import sql

from driftline import names
from driftline.profile.binning import Binning
from driftline.profile.count import increments
from driftline.records import PUBLISHED, SHADOW, ScoredBatch, StoredBatch
from driftline.storage.connection import Connection
from driftline.storage.log.copy import copy
from driftline.storage.log.insert import Inserter
from driftline.storage.log.ledger import Ledger
from driftline.storage.log.offsets import to_multirange


@dataclass(frozen=True)
class Target:
    """Where the predictions of one model go, and how they are profiled.

    Attributes:
        model, topic: the model and its input topic.
        binning_of: the binning of each version; None for no profiles.
        segments: columns to split profiles by.
    """

    model: str
    topic: str
    binning_of: Callable[[int], Binning] | None
    segments: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """The model's hypertable."""
        return names.prediction_table(self.model)


_SHADOW_COLUMNS = [
    *("event_time", "event_id", "source", "kafka_offset"),
    *(name for name in SHADOW.names if name != "prediction"),
]


class _Counted(NamedTuple):
    """The profile increments of one version's rows in one role."""

    version: int
    role: str
    binning_id: str
    counts: pa.RecordBatch


class Writer:
    """Writes batches of one model over one connection.

    Durable on return and idempotent: PostgreSQL has committed, and writing the same messages
    again changes nothing. Not thread-safe.

    Parameters:
        connection: as role `write`, not in autocommit.
        target: the model.
    """

    def __init__(self, connection: Connection, target: Target) -> None:
        self._connection = connection
        self._target = target
        self._ledger = Ledger(connection, target.model, "events", target.topic)
        self._inserter = Inserter(connection, target.table, ("event_time", "event_id"))
        self._shadows = Inserter(
            connection,
            names.shadow_table(target.model),
            ("event_time", "event_id", "model_version"),
        )
        self._counter = ThreadPoolExecutor(1, thread_name_prefix="profile")

    def write(self, batch: ScoredBatch) -> StoredBatch:
        """Store the new part of a batch; returns what the store holds for all of it.

        Raises:
            psycopg.OperationalError: the outcome is unknown or nothing was stored; call again
                with a new connection.
        """
        sources = self._ledger.sources(batch.positions)
        with self._connection.transaction():
            repeated = self._ledger.claim(sources, batch.positions)
            stored = self._write_new(batch, sources, repeated)
            if not repeated.any():
                return stored
            return self._with_earlier(stored, sources, batch.positions, np.flatnonzero(repeated))

    def _write_new(
        self, batch: ScoredBatch, sources: NDArray[Any], repeated: NDArray[Any]
    ) -> StoredBatch:
        new = ~repeated[batch.messages]
        messages = batch.messages[new]
        all_rows = _rows(batch, sources)
        rows = all_rows if new.all() else all_rows.filter(pa.array(new))
        shadows = _shadow_rows(all_rows, batch.shadows, new)
        # counted while PostgreSQL inserts the rows: nearly always all of them are new
        counting = self._counter.submit(self._count, rows, shadows)
        inserted = self._inserter.insert(rows)
        logged, counted = rows, counting.result()
        if not inserted.all():
            logged = rows.filter(pa.array(inserted))
            new[new] = inserted
            shadows = _shadow_rows(all_rows, batch.shadows, new)
            counted = self._count(logged, shadows)
            self._ledger.store_duplicates(rows.filter(pa.array(~inserted)), "event_time")
        if len(shadows):
            self._shadows.insert(shadows.select(_SHADOW_COLUMNS))
        is_new = ~repeated[batch.rejects.column("message").to_numpy()]
        rejects = batch.rejects.filter(pa.array(is_new))
        self._ledger.store_rejects(rejects, sources, batch.positions)
        for increment in counted:
            self._insert_profile(increment)
        outcomes = {
            "logged": messages[inserted],
            "duplicate": messages[~inserted],
            "rejected": rejects.column("message").to_numpy(),
            "filtered": batch.filtered[~repeated[batch.filtered]],
        }
        self._ledger.settle(sources, batch.positions, outcomes)
        return StoredBatch(
            logged.select(PUBLISHED.names).cast(PUBLISHED),
            messages[inserted],
            logged=len(logged),
            duplicate=len(rows) - len(logged),
            repeated=int(repeated.sum()),
        )

    def _count(self, rows: pa.RecordBatch, shadows: pa.RecordBatch) -> list[_Counted]:
        if self._target.binning_of is None:
            return []
        return self._by_version(rows, names.SERVED) + self._by_version(shadows, names.SHADOW)

    def _by_version(self, rows: pa.RecordBatch, role: str) -> list[_Counted]:
        assert self._target.binning_of is not None
        versions = rows.column("model_version")
        counted = []
        for version in pc.unique(versions).to_pylist():
            binning = self._target.binning_of(version)
            version_rows = rows.filter(pc.equal(versions, version))
            counts = increments(version_rows, binning, self._target.segments)
            counted.append(_Counted(version, role, binning.id, counts))
        return counted

    def _insert_profile(self, counted: _Counted) -> None:
        counts = counted.counts
        n = len(counts)
        columns = {
            **{name: counts.column(name) for name in counts.schema.names},
            "rows": counts.column("rows").cast(pa.int64()),  # a day's sum may exceed 32 bits
            "model": pa.array([self._target.model] * n, pa.string()),
            "span_minutes": pa.array(np.ones(n, np.int16)),
            "version": pa.array(np.full(n, counted.version, np.int32)),
            "role": pa.repeat(counted.role, n),
            "binning_id": pa.repeat(counted.binning_id, n),
        }
        copy(self._connection, "profile", pa.RecordBatch.from_pydict(columns))
        minutes = counts.column("bucket").cast(pa.int64()).to_numpy() // 60_000_000
        self._connection.execute(
            "INSERT INTO driftline.dirty_window (model, minutes) VALUES (%s, %s)",
            (self._target.model, to_multirange(minutes)),
        )

    def _with_earlier(
        self,
        stored: StoredBatch,
        sources: NDArray[Any],
        positions: pa.RecordBatch,
        repeated: NDArray[Any],
    ) -> StoredBatch:
        """Add the rows that earlier writes stored for the repeated messages, int64[k]."""
        offsets = positions.column("offset").to_numpy()
        rows: list[tuple[object, ...]] = []
        messages: list[int] = []
        query = sql.SQL(
            """SELECT event_time, event_id, model_version, score, outputs::text, kafka_offset
                 FROM {} WHERE source = %s AND kafka_offset BETWEEN %s AND %s"""
        ).format(sql.Identifier(names.SCHEMA, self._target.table))
        for source in np.unique(sources[repeated]):
            of_source = repeated[sources[repeated] == source]
            message_at = dict(zip(offsets[of_source].tolist(), of_source.tolist(), strict=True))
            bounds = (int(source), int(offsets[of_source].min()), int(offsets[of_source].max()))
            for *row, offset in self._connection.execute(query, bounds):
                if offset in message_at:
                    rows.append(tuple(row))
                    messages.append(message_at[offset])
        columns = list(zip(*rows, strict=True)) or [()] * len(PUBLISHED)
        earlier = [pa.array(c, f.type) for c, f in zip(columns, PUBLISHED, strict=True)]
        merged = [
            pa.concat_arrays(pair) for pair in zip(stored.predictions.columns, earlier, strict=True)
        ]
        return StoredBatch(
            pa.RecordBatch.from_arrays(merged, schema=PUBLISHED),
            np.concatenate([stored.messages, np.array(messages, np.int32)]),
            logged=stored.logged,
            duplicate=stored.duplicate,
            repeated=stored.repeated,
        )


def _rows(batch: ScoredBatch, sources: NDArray[Any]) -> pa.RecordBatch:
    """The predictions as the table holds them."""
    positions = batch.positions.take(pa.array(batch.messages))
    kafka_time = positions.column("kafka_time")
    now = int(datetime.now(UTC).timestamp() * 1_000_000)
    lag = (now - kafka_time.cast(pa.int64()).to_numpy()) / 1_000
    added = {
        "source": pa.array(sources[batch.messages], pa.int32()),
        "kafka_offset": positions.column("offset"),
        "kafka_time": kafka_time,
        names.LAG_MS: pa.array(np.maximum(lag, 0.0).astype(np.float32)),
    }
    predictions = batch.predictions
    return pa.RecordBatch.from_arrays(
        [*predictions.columns, *added.values()], names=[*predictions.schema.names, *added]
    )


def _shadow_rows(
    rows: pa.RecordBatch, shadows: pa.RecordBatch, is_logged: NDArray[np.bool_]
) -> pa.RecordBatch:
    """The shadow rows of those of m predictions that are logged, bool[m], as columns of `rows`."""
    if len(shadows):
        shadows = shadows.filter(pa.array(is_logged[shadows.column("prediction").to_numpy()]))
    if not len(shadows):
        return rows.slice(0, 0)
    parents = rows.take(shadows.column("prediction"))
    columns = {name: parents.column(name) for name in parents.schema.names}
    outputs = {name: shadows.column(name) for name in shadows.schema.names if name != "prediction"}
    return pa.RecordBatch.from_pydict(columns | outputs)
