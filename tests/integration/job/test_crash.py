"""What is killed in mid-stream comes back by itself, and nothing is lost or doubled."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from driftline.config import load
from driftline.storage.topic import Topic
from tests.integration.job import feed
from tests.integration.job.conftest import World, section
from tests.integration.job.running import Running, proof, rows, wait_for
from tests.integration.job.saved_model import EXPECTED_SCORE

EVENTS = 300_000
FLOWING = 100_000  # at least so many are still to come when the crash happens


def make(world: World, model: str) -> Path:
    """Config, topics and table of a model, and its stream in the topic."""
    path = world.write({model: section(model, stream={"batch_rows": 2_000})})
    kafka = load(path).local_kafka()
    feed.make_topics(kafka, [f"{model}-events", f"{model}-scored"])
    return path


def crash(path: Path, model: str, strike: Callable[[dict[str, list[int]]], None]) -> None:
    """Run a stream through a crash, and prove that all of it is there, once."""
    with Running(path, model) as job:
        feed.produce(job.config.local_kafka(), f"{model}-events", feed.values(0, EVENTS))
        total = feed.sent(EVENTS)
        settled, pids = job.wait_until_midstream(total.messages)
        assert 0 < settled < total.messages - FLOWING
        strike(pids)
        job.wait_until_settled(total.messages)
        job.drain()
    prove(path, model)


def prove(path: Path, model: str) -> None:
    """The audit agrees, and so does what was sent with what is there."""
    config, total = load(path), feed.sent(EVENTS)
    report = proof(config, model)
    found = report.events
    assert found.read == total.messages
    assert (found.logged, found.rejected) == (total.events, total.broken)
    assert (found.duplicate, found.filtered, found.pending) == (total.repeated, 0, 0)
    assert report.profiled == report.published == total.events
    table = f"driftline.prediction_{model.replace('-', '_')}"
    assert rows(
        config,
        f"""SELECT count(*), count(DISTINCT event_id), count(DISTINCT event_time),
                   count(*) FILTER (WHERE abs(score - ({EXPECTED_SCORE})) > 1e-4) FROM {table}""",
    ) == [(total.events, total.events, total.events, 0)]


def test_a_killed_worker_is_replaced(world: World) -> None:
    path = make(world, "worker")
    crash(path, "worker", lambda pids: os.kill(pids["worker"][0], signal.SIGKILL))
