"""What is killed in mid-stream comes back by itself, and nothing is lost or doubled."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from driftline.config import Config, load
from tests.faults import CuttingProxy
from tests.integration.job import feed
from tests.integration.job.conftest import World, section
from tests.integration.job.running import (
    Pids,
    Running,
    processes,
    progress,
    proof,
    rows,
    wait_for,
    wait_until_midstream,
)
from tests.integration.job.saved_model import EXPECTED_SCORE

EVENTS = 300_000
FLOWING = 100_000  # more than this is still to come when the crash happens


def make(world: World, model: str, **more: Any) -> Path:
    """Config, topics and table of a model."""
    more.setdefault("flink", {"parallelism": 2, "checkpoint_interval": "1 s"})
    path = world.write({model: section(model, stream={"batch_rows": 2_000})}, **more)
    kafka = load(path).local_kafka()
    feed.make_topics(kafka, [f"{model}-events", f"{model}-scored"])
    return path


def crash(path: Path, model: str, strike: Callable[[Pids], None]) -> None:
    """Run a stream through a crash, and prove that all of it is there, once."""
    total = feed.sent(EVENTS)
    with Running(path, model) as job:
        sender = threading.Thread(
            target=feed.produce,
            args=(job.config.local_kafka(), f"{model}-events", feed.values(0, EVENTS)),
        )
        sender.start()
        strike_midstream(job.config, model, job.pids, strike)
        job.wait_until_settled(total.messages)
        sender.join()
        job.drain()
    prove(path, model)


def strike_midstream(
    config: Config, model: str, find: Callable[[], Pids], strike: Callable[[Pids], None]
) -> None:
    """Strike while more than `FLOWING` messages are still to come."""
    wait_until_midstream(config, model)
    pids = find()
    settled = progress(config, model).events
    assert 0 < settled < feed.sent(EVENTS).messages - FLOWING
    strike(pids)


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


def test_a_killed_jvm_is_started_again_from_the_newest_checkpoint(world: World) -> None:
    path = make(world, "jvm")
    crash(path, "jvm", lambda pids: os.kill(pids["jvm"][0], signal.SIGKILL))


def test_the_job_waits_for_a_killed_database(world: World) -> None:
    path = make(world, "database")
    crash(path, "database", lambda _: kill_service(world, "timescaledb"))


def test_the_job_waits_for_a_killed_broker(world: World) -> None:
    path = make(world, "broker")
    crash(path, "broker", lambda _: kill_service(world, "kafka"))


def test_a_connection_cut_at_commit_doubles_nothing(world: World) -> None:
    postgres = Config(state=world.stack.folder).local_postgres()
    with CuttingProxy(postgres.host, postgres.port) as proxy:
        through = postgres.model_copy(update={"port": proxy.port})
        path = make(world, "commit", postgres=through.model_dump(mode="json"))

        def cut(_: Pids) -> None:
            for after_forwarding in (False, True):
                before = proxy.cuts
                proxy.cut_at_commit(4, after_forwarding=after_forwarding)
                wait_for(lambda: proxy.cuts >= before + 4, "four connections cut at COMMIT")

        crash(path, "commit", cut)


def test_a_killed_supervisor_leaves_no_job_and_the_next_one_goes_on(world: World) -> None:
    model = "supervisor"
    path, total = make(world, model), feed.sent(EVENTS)
    config = load(path)
    feed.produce(config.local_kafka(), f"{model}-events", feed.values(0, EVENTS))
    job: list[psutil.Process] = []

    def kill(_: Pids) -> None:
        first.send_signal(signal.SIGKILL)

    def find() -> Pids:
        job.extend(psutil.Process(first.pid).children(recursive=True))
        return {}

    with command("run", model, path) as first:
        strike_midstream(config, model, find, kill)
        first.wait()
    assert len(job) >= 3  # Python, JVM, worker
    wait_for(lambda: not any(map(alive, job)), "the job without a supervisor to end")
    with command("run", model, path) as second:
        wait_for(lambda: progress(config, model).events == total.messages, "the rest")
        second.send_signal(signal.SIGTERM)
        assert second.wait() == 0
    prove(path, model)


def kill_service(world: World, name: str) -> None:
    """SIGKILL a service, then start it again, as a service manager would."""
    pid = next(status.pid for status in world.stack.status() if status.name == name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    world.stack.up([name])


def command(name: str, model: str, path: Path) -> "subprocess.Popen[bytes]":
    """A `driftline` command in a process of its own."""
    words = [sys.executable, "-m", "driftline.cli", name, model, "--config", str(path)]
    return subprocess.Popen(words, start_new_session=True)


def alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
