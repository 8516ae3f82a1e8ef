"""The ledger: which offsets of a topic have an outcome, and how many have each outcome.

An event's identity is its offset. A write first claims its offsets, under a lock on their
partitions, then stores and settles the new ones, all in one transaction: a batch that
is repeated, after a crash or by a second worker, finds its offsets settled.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.errors import ServiceError
from driftline.storage.connection import Connection
from driftline.storage.log.copy import copy
from driftline.storage.log.offsets import contains, to_multirange
from driftline.storage.log.sources import Stream, source_ids


class Ledger:
    """The ledger of one topic that a model reads.

    Parameters:
        connection: as role `write`.
        model: the model's name in the config.
        stream: events or labels.
        topic: its name.
    """

    def __init__(self, connection: Connection, model: str, stream: Stream, topic: str) -> None:
        self._connection = connection
        self._key = (model, stream, topic)
        self._sources: dict[int, int] = {}

    def sources(self, positions: pa.RecordBatch) -> NDArray[Any]:
        """The source id of each message, int32[n]."""
        partitions = positions.column("partition").to_numpy()
        distinct = np.unique(partitions)
        if not set(distinct.tolist()) <= self._sources.keys():
            with self._connection.transaction():
                source_of = source_ids(self._connection, *self._key, distinct.tolist())
            self._sources |= source_of
        ids = np.array([self._sources[p] for p in distinct.tolist()], dtype=np.int32)
        each: NDArray[Any] = ids[np.searchsorted(distinct, partitions)]
        return each

    def claim(self, sources: NDArray[Any], positions: pa.RecordBatch) -> NDArray[Any]:
        """Lock the batch's partitions until the transaction ends.

        Returns:
            bool[n]: the messages that already have an outcome.

        Raises:
            ServiceError: the model was forgotten after the sources were looked up.
        """
        distinct = np.unique(sources).tolist()
        offsets = positions.column("offset").to_numpy()
        repeated = np.zeros(len(offsets), dtype=bool)
        if len(offsets) == 0:
            return repeated
        first, last = int(offsets.min()), int(offsets.max())
        # In order of id, so that two batches cannot deadlock. FOR UPDATE needs privilege UPDATE,
        # which role `read` does not have; no foreign key points here, so only another claim and
        # `forget` wait for it.
        locked = self._connection.execute(
            "SELECT id FROM driftline.source WHERE id = ANY(%s) ORDER BY id FOR UPDATE",
            (distinct,),
        )
        if locked.rowcount < len(distinct):
            raise ServiceError(  # retried with a new writer, which reads them again
                f"the partitions of topic {self._key[2]!r} are no longer stored: "
                f"'driftline forget {self._key[0]}' erased them"
            )
        # a separate statement: its snapshot must be younger than the lock
        settled = self._connection.execute(
            """SELECT source, range_agg(offsets) * int8multirange(int8range(%s, %s, '[]'))
                 FROM driftline.ledger
                WHERE source = ANY(%s) AND last_offset >= %s AND first_offset <= %s
                GROUP BY source""",
            (first, last, distinct, first, last),
        ).fetchall()
        for source, ranges in settled:
            of_source = sources == source
            repeated[of_source] = contains(ranges, offsets[of_source])
        return repeated

    def settle(
        self,
        sources: NDArray[Any],
        positions: pa.RecordBatch,
        outcomes: Mapping[str, NDArray[Any]],
    ) -> None:
        """Record the outcomes: one row per partition.

        Parameters:
            sources: int32[n], of `sources`.
            positions: n rows of `POSITION`.
            outcomes: logged, duplicate, rejected, filtered: the messages with each outcome.
        """
        offsets = positions.column("offset").to_numpy()
        settled = np.concatenate([np.asarray(m, dtype=np.int64) for m in outcomes.values()])
        for source in np.unique(sources[settled]):
            source_offsets = offsets[settled[sources[settled] == source]]
            counts = {name: int((sources[m] == source).sum()) for name, m in outcomes.items()}
            self._connection.execute(
                """INSERT INTO driftline.ledger (source, first_offset, last_offset, offsets,
                                                 logged, duplicate, rejected, filtered)
                   VALUES (%(source)s, %(first)s, %(last)s, %(offsets)s,
                           %(logged)s, %(duplicate)s, %(rejected)s, %(filtered)s)""",
                {
                    "source": int(source),
                    "first": int(source_offsets.min()),
                    "last": int(source_offsets.max()),
                    "offsets": to_multirange(source_offsets),
                    **counts,
                },
            )

    def store_rejects(
        self, rejects: pa.RecordBatch, sources: NDArray[Any], positions: pa.RecordBatch
    ) -> None:
        """Store complete rejected messages and their reasons; `rejects` has rows of `REJECT`."""
        if len(rejects) == 0:
            return
        at = rejects.column("message")
        columns = {
            "source": pa.array(sources[at.to_numpy()], pa.int32()),
            "kafka_offset": positions.column("offset").take(at),
            "kafka_time": positions.column("kafka_time").take(at),
            **{name: rejects.column(name) for name in ("reason", "detail", "payload")},
        }
        copy(self._connection, "rejected", pa.RecordBatch.from_pydict(columns))

    def store_duplicates(self, rows: pa.RecordBatch, time: str) -> None:
        """Store repeated events; `rows` has source, kafka_offset, event_id and column `time`."""
        if len(rows):
            columns = ["source", "kafka_offset", "event_id", time]
            renamed = rows.select(columns).rename_columns([*columns[:3], "event_time"])
            copy(self._connection, "duplicate", renamed)
