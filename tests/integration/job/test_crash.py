"""What is killed in mid-stream comes back by itself, and nothing is lost or doubled.

One job runs through all of it: each test sends more of the stream, strikes while it flows, and
counts what has come. At the end the audit compares everything.
"""

import json
import os
import re
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from driftline.config import Config, load
from tests import attacks
from tests.faults import CuttingProxy
from tests.integration.job import feed
from tests.integration.job.conftest import World
from tests.integration.job.running import (
    Pids,
    Running,
    command,
    progress,
    proof,
    rows,
    wait_for,
    wait_until_midstream,
)
from tests.integration.job.saved_model import EXPECTED_SCORE

PORTION = 80_000  # events around each strike
REMAINING = 20_000  # messages, at least, that are still to come when it strikes
MODEL = "struck"


@dataclass
class Stream:
    """A job's stream, sent in portions.

    Attributes:
        events: how many were sent so far.
    """

    world: World
    config: Config
    model: str
    events: int = field(default=0, init=False)

    @property
    def sent(self) -> feed.Sent:
        """What was sent so far."""
        return feed.sent(self.events)

    def send(self) -> threading.Thread:
        """Begin to send a portion."""
        first, self.events = self.events, self.events + PORTION
        arguments = (
            self.world.config.local_kafka(),
            self.world.topic(self.model, "events"),
            feed.values(first, self.events),
        )
        feeder = threading.Thread(target=feed.produce, args=arguments)
        feeder.start()
        return feeder

    def flows(self, before: int) -> None:
        """Wait until more is settled than before; much must still be to come."""
        wait_for(lambda: progress(self.config, self.model).events > before, "more of the stream")
        assert progress(self.config, self.model).events < self.sent.messages - REMAINING

    def count(self) -> None:
        """Every message has its outcome, and every event one row."""
        settled, sent = progress(self.config, self.model), self.sent
        assert (settled.logged, settled.duplicate, settled.rejected, settled.filtered) == (
            *(sent.events, sent.repeated, sent.broken),
            0,
        )
        stored = rows(
            self.config,
            f"""SELECT count(*), count(DISTINCT event_id), count(DISTINCT event_time),
                       count(*) FILTER (WHERE abs(score - ({EXPECTED_SCORE})) > 1e-4)
                  FROM driftline.prediction_{self.model}""",
        )
        assert stored == [(sent.events, sent.events, sent.events, 0)]

    def prove(self) -> None:
        """The audit agrees, and so does what was sent with what is there."""
        self.count()
        report, sent = proof(self.config, self.model), self.sent
        assert (report.events.read, report.events.pending) == (sent.messages, 0)
        assert report.profiled == report.published == sent.events


@dataclass
class Struck:
    """The running job that is struck, and its stream."""

    job: Running
    stream: Stream
    proxy: CuttingProxy

    @property
    def state(self) -> Path:
        """The job's state folder."""
        return self.job.config.state

    def through(self, strike: Callable[[Pids], None]) -> None:
        """Send a portion, strike while it flows, and count when all of it has come."""
        sent_before = self.stream.sent.messages
        feeder = self.stream.send()
        self.stream.flows(sent_before)
        strike(self.job.pids())
        self.job.wait_until_settled(self.stream.sent.messages)
        feeder.join()
        self.stream.count()


@pytest.fixture(scope="module")
def secrets(own_world: World) -> Iterator[list[str]]:
    """Every password that the job's config names, by variables, and one of somebody else."""
    folder = own_world.config.state / "secrets"
    values = {f"PLANTED_{path.name}": path.read_text().strip() for path in folder.iterdir()}
    values |= {"PLANTED_elsewhere": f"planted-{uuid.uuid4().hex}"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield list(values.values())


@pytest.fixture(scope="module")
def struck(own_world: World, secrets: list[str]) -> Iterator[Struck]:
    """One job for all strikes; at its end everything that was sent is there, once, no secret is."""
    postgres = own_world.config.local_postgres()
    with CuttingProxy(postgres.host, postgres.port) as proxy:
        through = postgres.model_copy(update={"port": proxy.port})
        path = make(own_world, MODEL, postgres=through.model_dump(mode="json"))
        stream = Stream(own_world, load(path), MODEL)
        with Running(path, MODEL) as job:
            stream.send().join()
            job.wait_until_settled(stream.sent.messages)
            yield Struck(job, stream, proxy)
            job.drain()
        stream.prove()
    assert attacks.files_with(secrets, job.config.state) == []
    assert in_database(own_world.config, secrets) == []


def make(world: World, model: str, **more: Any) -> Path:
    """Config, topics and table of a model."""
    world.make_topics(model)
    section = world.section(model, stream={"batch_rows": 2_000})
    path = world.write(model, section, parallelism=2, **more)
    content = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(by_variables(content)))
    return path


def by_variables(section: Any) -> Any:
    """A config with its secrets named by environment variables instead of files."""
    if not isinstance(section, dict):
        return section
    if isinstance(section.get("file"), str):
        return {"env": f"PLANTED_{Path(section['file']).name}"}
    return {key: by_variables(value) for key, value in section.items()}


@pytest.mark.long
def test_a_killed_supervisor_leaves_no_job_and_the_next_one_goes_on(
    own_world: World, secrets: list[str]
) -> None:
    model = "supervisor"
    path = make(own_world, model)
    stream = Stream(own_world, load(path), model)
    with command("run", model, path) as first:
        feeder = stream.send()
        wait_until_midstream(stream.config, model)
        job = psutil.Process(first.pid).children(recursive=True)
        feeder.join()
        feeder = stream.send()
        stream.flows(0)
        first.kill()
        first.wait()
    feeder.join()
    assert len(job) >= 3  # Python, JVM, worker
    wait_for(lambda: not any(map(alive, job)), "the job without a supervisor to end")
    with command("run", model, path) as second:
        wait_for(lambda: progress(stream.config, model).events == stream.sent.messages, "the rest")
        second.send_signal(signal.SIGTERM)
        assert second.wait() == 0
    stream.prove()


def test_a_killed_jvm_is_started_again_from_the_newest_checkpoint(struck: Struck) -> None:
    struck.through(lambda pids: os.kill(pids["jvm"][0], signal.SIGKILL))
    assert len(list((struck.state / "run").glob("job-*"))) == 1  # the killed one's was deleted


@pytest.mark.long
def test_a_job_that_somebody_cancels_is_started_again(struck: Struck) -> None:
    def cancel(pids: Pids) -> None:
        (job_id,) = struck.job.running_jobs()
        struck.job.ask_flink(f"/jobs/{job_id}?mode=cancel", "PATCH")
        wait_for(lambda: struck.job.pids()["jvm"] not in ([], pids["jvm"]), "a new JVM")

    struck.through(cancel)


def test_the_job_waits_for_a_killed_database(struck: Struck) -> None:
    struck.through(lambda _: kill_service(struck.stream.world, "timescaledb"))


@pytest.mark.long
def test_the_job_waits_for_a_killed_broker(struck: Struck) -> None:
    struck.through(lambda _: kill_service(struck.stream.world, "kafka"))


@pytest.mark.parametrize("after_forwarding", [pytest.param(False, marks=pytest.mark.long), True])
def test_a_connection_cut_at_commit_doubles_nothing(struck: Struck, after_forwarding: bool) -> None:
    def cut(_: Pids) -> None:
        cuts = struck.proxy.cuts + 4
        struck.proxy.cut_at_commit(4, after_forwarding=after_forwarding)
        wait_for(lambda: struck.proxy.cuts == cuts, "4 connections cut at COMMIT")

    struck.through(cut)


def test_killed_workers_are_replaced_also_without_the_registry(struck: Struck) -> None:
    def kill_all(pids: Pids) -> None:
        for pid in pids["worker"]:
            os.kill(pid, signal.SIGKILL)

    stack = struck.stream.world.stack
    stack.down(["mlflow"])
    try:
        struck.through(kill_all)
    finally:
        stack.up(["mlflow"])


def test_no_other_user_reaches_anything_of_the_job(struck: Struck) -> None:
    addresses = attacks.listening(struck.job.tree())
    assert len(addresses) >= 2  # at least Flink's REST and the gateway: they were found at all
    assert [address for address, _ in addresses if not attacks.is_loopback(address)] == []
    state, ports, owner = struck.state, [port for _, port in addresses], os.geteuid()
    sockets = [str(path.relative_to(state)) for path in attacks.unix_sockets(state)]
    assert len(sockets) >= 4  # through which workers connect
    doors = attacks.as_another_user(lambda: attacks.open_doors(ports, sockets, owner), state)
    assert doors == []
    files = attacks.as_another_user(lambda: attacks.readable("."), state)
    assert owner != 0 or files == []


def test_secrets_stand_in_one_private_file_for_workers(struck: Struck, secrets: list[str]) -> None:
    leaks = attacks.files_with(secrets, struck.state)
    assert {path.name for path in leaks} == {"environment.json"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in leaks)
    (job_id,) = struck.job.running_jobs()
    pages = ["/jobmanager/config", "/jobmanager/environment", "/config"]
    pages += [f"/jobs/{job_id}{page}" for page in ("", "/config", "/plan", "/exceptions")]
    answers = [json.dumps(struck.job.ask_flink(page)) for page in pages]
    assert all(len(answer) > 50 for answer in answers)
    assert [value for value in secrets if any(value in answer for answer in answers)] == []
    shown = attacks.as_another_user(attacks.process_list)
    own = os.geteuid() != 0  # then the list holds our own environment
    assert own or [value for value in secrets if value in shown] == []


def in_database(config: Config, secrets: list[str]) -> list[str]:
    """The tables in which one of the secrets stands."""
    tables = rows(
        config, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'driftline'"
    )
    pattern = "|".join(map(re.escape, secrets))
    return [
        table
        for (table,) in tables
        if rows(config, f'SELECT 1 FROM driftline."{table}" t WHERE t::text ~ %s LIMIT 1', pattern)
    ]


def kill_service(world: World, name: str) -> None:
    """SIGKILL a service, then start it again, as a service manager would."""
    pid = next(status.pid for status in world.stack.status() if status.name == name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    world.stack.up([name])


def alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
