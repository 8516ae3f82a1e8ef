"""Which messages a worker is processing, to find messages that kill workers.

A worker records the positions of each batch before it starts. The ledger shows which of them have
an outcome; a dead worker was processing the recorded positions that have none.
"""

from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from psycopg.types.multirange import Multirange

from driftline.storage.connection import Connection, clock
from driftline.storage.log.offsets import contains, to_multirange

Offsets = dict[int, Multirange[int]]  # partition -> offsets

_UNFINISHED = """
    SELECT a.worker, a.partition, a.offsets - coalesce(
             (SELECT range_agg(l.offsets)
                FROM driftline.ledger l JOIN driftline.source s ON s.id = l.source
               WHERE s.model = a.model AND s.stream = 'events' AND s.topic = a.topic
                 AND s.partition = a.partition
                 AND l.last_offset >= lower(a.offsets) AND l.first_offset < upper(a.offsets)),
             '{}')
      FROM driftline.batch_attempt a
     WHERE a.model = %s AND a.topic = %s AND a.worker <> %s AND a.started_at < %s"""


class BatchAttempts:
    """The batches of one model's workers.

    Parameters:
        connection: as role `write`, not in autocommit.
        model: the model's name in the config.
        topic: its input topic.
        worker: a name that no other worker ever had.
    """

    def __init__(self, connection: Connection, model: str, topic: str, worker: str) -> None:
        self._connection = connection
        self._key = (model, topic)
        self._worker = worker

    def now(self) -> datetime:
        """The database's time."""
        with self._connection.transaction():
            return clock(self._connection)

    def unfinished(self, started_before: datetime) -> list[Offsets]:
        """What other workers started before a time and have not finished, one item per worker.

        Deletes finished attempts.
        """
        with self._connection.transaction():
            key = (*self._key, self._worker, started_before)
            rows = self._connection.execute(_UNFINISHED, key).fetchall()
            attempts: dict[str, Offsets] = {}
            finished: list[tuple[str, int]] = []
            for worker, partition, offsets in rows:
                if offsets:
                    attempts.setdefault(worker, {})[partition] = offsets
                else:
                    finished.append((worker, partition))
            if finished:
                workers, partitions = zip(*finished, strict=True)
                self._connection.execute(
                    """DELETE FROM driftline.batch_attempt a
                        USING unnest(%s::text[], %s::int[]) AS f (worker, partition)
                        WHERE a.model = %s AND a.topic = %s
                          AND a.worker = f.worker AND a.partition = f.partition""",
                    (list(workers), list(partitions), *self._key),
                )
        return list(attempts.values())

    def begin(self, partitions: NDArray[np.int32], offsets: NDArray[np.int64]) -> None:
        """Record the positions of the next batch, int32[n] and int64[n], instead of the last.

        They survive a crash of the worker, not of the database, which kills no worker.
        """
        distinct = np.unique(partitions).tolist()
        ranges = [_literal(to_multirange(offsets[partitions == number])) for number in distinct]
        with self._connection.transaction():
            self._connection.execute("SET LOCAL synchronous_commit = off")
            self._connection.execute(
                """INSERT INTO driftline.batch_attempt
                          (model, topic, partition, worker, offsets, started_at)
                   SELECT %s, %s, partition, %s, offsets::int8multirange, now()
                     FROM unnest(%s::int[], %s::text[]) AS batch (partition, offsets)
                       ON CONFLICT (model, topic, partition, worker)
                       DO UPDATE SET (offsets, started_at) = (excluded.offsets, now())""",
                (*self._key, self._worker, distinct, ranges),
            )


def attempts_at(
    attempts: list[Offsets], partitions: NDArray[np.int32], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The number of attempts that contain each of n messages: int64[n].

    >>> once = {0: to_multirange(np.array([5, 6]))}
    >>> attempts_at([once, once], np.array([0, 0, 1]), np.array([6, 7, 6])).tolist()
    [2, 0, 0]
    """
    counts = np.zeros(len(offsets), dtype=np.int64)
    for attempt in attempts:
        for partition, ranges in attempt.items():
            counts += (partitions == partition) & contains(ranges, offsets)
    return counts


def _literal(ranges: Multirange[int]) -> str:
    return "{" + ",".join(f"[{offsets.lower},{offsets.upper})" for offsets in ranges) + "}"
