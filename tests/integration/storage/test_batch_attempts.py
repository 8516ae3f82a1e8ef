"""What a worker that was killed leaves behind, and when that is deleted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from driftline.storage.connection import connect
from driftline.storage.forget import forget
from driftline.storage.log.batch_attempts import BatchAttempts, attempts_at

MODEL = "fraud"


@contextmanager
def worker(world: Any, name: str) -> Iterator[BatchAttempts]:
    with connect(world.config.postgres, "write") as connection:
        yield BatchAttempts(connection, MODEL, world.section.input.topic, name)


def begin(attempts: BatchAttempts, offsets: list[int], partition: int = 0) -> None:
    at = np.array(offsets, dtype=np.int64)
    attempts.begin(np.full(len(at), partition, dtype=np.int32), at)


def counts(world: Any, offsets: list[int], partition: int = 0) -> list[int]:
    """How many workers have ended on each offset, as the next worker sees it."""
    with worker(world, "next") as attempts:
        at = np.array(offsets, dtype=np.int64)
        left = attempts.unfinished(attempts.now())
        found: list[int] = attempts_at(
            left, np.full(len(at), partition, dtype=np.int32), at
        ).tolist()
    return found


def test_what_has_no_outcome_is_left_by_workers_that_ended(world: Any) -> None:
    offsets = world.feed(10)
    later = list(range(offsets[-1] + 1, offsets[-1] + 6))
    with worker(world, "first") as attempts:
        begin(attempts, offsets)  # is settled by now
        begin(attempts, [*offsets[-2:], *later])
    assert counts(world, [*offsets, *later]) == [0] * 10 + [1] * 5
    assert counts(world, later, partition=1) == [0] * 5
    with worker(world, "second") as attempts:
        begin(attempts, later[2:4])
    assert counts(world, later) == [1, 1, 2, 2, 1]

    with worker(world, "live") as attempts:
        started = attempts.now()
        with worker(world, "beside") as beside:  # it goes on beside this one
            begin(beside, later)
        left = attempts.unfinished(started)
    assert len(left) == 2

    assert world.feed(5) == later
    assert counts(world, later) == [0] * 5
    assert world.sql("SELECT count(*) FROM driftline.batch_attempt") == [(0,)]


def test_a_model_that_is_forgotten_has_no_attempts(world: Any) -> None:
    with worker(world, "first") as attempts:
        begin(attempts, [1_000, 1_001])
    with connect(world.config.postgres, "migrate", autocommit=True) as connection:
        forget(connection, MODEL)
    assert world.sql("SELECT count(*) FROM driftline.batch_attempt") == [(0,)]
