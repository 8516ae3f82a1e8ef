"""What is killed in mid-stream comes back by itself, and nothing is lost or doubled."""

import os
import re
import signal
import threading
import uuid
from collections.abc import Callable
from functools import partial
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
    PATIENCE,
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

EVENTS = 220_000
FLOWING = 120_000  # so many are sent only when the crash is about to happen


class Feeder(threading.Thread):
    """Sends the stream; the last `FLOWING` events when `go_on` is called."""

    def __init__(self, config: Config, topic: str) -> None:
        super().__init__()
        self._kafka, self._topic = config.local_kafka(), topic
        self._more = threading.Event()

    def run(self) -> None:
        feed.produce(self._kafka, self._topic, feed.values(0, EVENTS - FLOWING))
        assert self._more.wait(PATIENCE)
        feed.produce(self._kafka, self._topic, feed.values(EVENTS - FLOWING, EVENTS))

    def go_on(self) -> None:
        self._more.set()


@pytest.fixture(autouse=True)
def secrets(own_world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every password that the job's config names, by variables, and one of somebody else."""
    folder = own_world.config.state / "secrets"
    values = {f"PLANTED_{path.name}": path.read_text().strip() for path in folder.iterdir()}
    values |= {"PLANTED_elsewhere": f"planted-{uuid.uuid4().hex}"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return list(values.values())


def make(world: World, model: str, **more: Any) -> Path:
    """Config, topics and table of a model."""
    world.make_topics(model)
    section = world.section(model, stream={"batch_rows": 2_000})
    path = world.write(model, section, **more)
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


def crash(
    world: World,
    path: Path,
    model: str,
    strike: Callable[[Pids], None],
    meanwhile: Callable[[Running], None] = lambda _: None,
) -> None:
    """Run a stream through a crash, and prove that all of it is there, once.

    Parameters:
        meanwhile: what happens after the strike, while the stream goes on.
    """
    with Running(path, model) as job:
        feeder = Feeder(world.config, world.topic(model, "events"))
        feeder.start()
        strike_midstream(job.config, model, feeder, job.pids, strike)
        meanwhile(job)
        job.wait_until_settled(feed.sent(EVENTS).messages)
        feeder.join()
        job.drain()
    prove(path, model)


def strike_midstream(
    config: Config,
    model: str,
    feeder: Feeder,
    find: Callable[[], Pids],
    strike: Callable[[Pids], None],
) -> None:
    """Strike while a part is settled and more than 100,000 messages are still to come."""
    wait_until_midstream(config, model)
    pids = find()
    feeder.go_on()
    settled = progress(config, model).events
    assert 0 < settled < feed.sent(EVENTS).messages - 100_000
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


def test_a_killed_worker_is_replaced(own_world: World, secrets: list[str]) -> None:
    path = make(own_world, "worker")

    def strike(pids: Pids) -> None:
        assert_closed(load(path).state, pids)
        os.kill(pids["worker"][0], signal.SIGKILL)

    crash(own_world, path, "worker", strike, lambda _: assert_hidden(load(path).state, secrets))
    assert attacks.files_with(secrets, load(path).state) == []
    assert in_database(load(path), secrets) == []


def cancel(job: Running) -> None:
    """Cancel a job as nobody but this user can, by Flink's REST API and the key of the run."""
    (jvm,) = wait_for(lambda: job.pids()["jvm"] if job.running_jobs() else None, "the new JVM")
    job_id = job.running_jobs()[0]
    job.ask_flink(f"/jobs/{job_id}?mode=cancel", "PATCH")
    wait_for(lambda: job.pids()["jvm"] not in ([], [jvm]), "a new JVM after the cancelled job")


def assert_closed(state: Path, pids: Pids) -> None:
    """No other user can reach anything of a running job."""
    addresses = attacks.listening(pid for found in pids.values() for pid in found)
    assert len(addresses) >= 2  # at least Flink's REST and the gateway: they were found at all
    assert [address for address, _ in addresses if not attacks.is_loopback(address)] == []
    sockets = [str(path.relative_to(state)) for path in attacks.unix_sockets(state)]
    assert len(sockets) >= 4  # through which workers connect
    ports, owner = [port for _, port in addresses], os.geteuid()
    doors = attacks.as_another_user(lambda: attacks.open_doors(ports, sockets, owner), state)
    assert doors == []
    if owner == 0:
        files = attacks.as_another_user(lambda: attacks.readable("."), state)
        assert files == []


def assert_hidden(state: Path, secrets: list[str]) -> None:
    """While a job runs, secrets stand in one private file for its workers, and nowhere else."""
    found = attacks.files_with(secrets, state)
    assert {path.name for path in found} <= {"environment.json"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in found)
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


def test_a_killed_jvm_and_a_cancelled_job_are_started_again_from_the_newest_checkpoint(
    own_world: World, secrets: list[str]
) -> None:
    path = make(own_world, "jvm")
    crash(own_world, path, "jvm", lambda pids: os.kill(pids["jvm"][0], signal.SIGKILL), cancel)
    state = load(path).state
    assert list((state / "run").glob("job-*")) == []  # what the killed JVM had left
    assert attacks.files_with(secrets, state) == []


def test_the_job_waits_for_a_killed_database(own_world: World) -> None:
    path = make(own_world, "database")
    crash(own_world, path, "database", lambda _: kill_service(own_world, "timescaledb"))


def test_the_job_waits_for_a_killed_broker(own_world: World) -> None:
    path = make(own_world, "broker")
    crash(own_world, path, "broker", lambda _: kill_service(own_world, "kafka"))


def test_a_connection_cut_at_commit_doubles_nothing(own_world: World) -> None:
    postgres = own_world.config.local_postgres()
    with CuttingProxy(postgres.host, postgres.port) as proxy:
        through = postgres.model_copy(update={"port": proxy.port})
        path = make(own_world, "commit", postgres=through.model_dump(mode="json"))

        def cut(_: Pids) -> None:
            for cuts, after_forwarding in ((4, False), (8, True)):
                proxy.cut_at_commit(4, after_forwarding=after_forwarding)
                wait_for(partial(_have, proxy, cuts), f"{cuts} connections cut at COMMIT")

        crash(own_world, path, "commit", cut)


def _have(proxy: CuttingProxy, cuts: int) -> bool:
    return proxy.cuts == cuts


def test_a_killed_supervisor_leaves_no_job_and_the_next_one_goes_on(own_world: World) -> None:
    model = "supervisor"
    path, total = make(own_world, model), feed.sent(EVENTS)
    config = load(path)
    feeder = Feeder(config, own_world.topic(model, "events"))
    feeder.start()
    job: list[psutil.Process] = []

    def find() -> Pids:
        job.extend(psutil.Process(first.pid).children(recursive=True))
        return {}

    with command("run", model, path) as first:
        strike_midstream(config, model, feeder, find, lambda _: first.kill())
        first.wait()
    feeder.join()
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


def alive(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_the_job_starts_and_goes_on_without_the_registry(own_world: World) -> None:
    model = "registry"
    path = make(own_world, model)
    kafka, topic = own_world.config.local_kafka(), own_world.topic(model, "events")
    with Running(path, model) as job:
        feed.produce(kafka, topic, feed.values(0, 5_000))
        job.wait_until_settled(feed.sent(5_000).messages)
        own_world.stack.down(["mlflow"])
        try:
            feed.produce(kafka, topic, feed.values(5_000, 10_000))
            job.wait_until_settled(feed.sent(10_000).messages)
            for pid in job.pids()["worker"]:
                os.kill(pid, signal.SIGKILL)
            feed.produce(kafka, topic, feed.values(10_000, 20_000))
            job.wait_until_settled(feed.sent(20_000).messages)
            job.drain()
        finally:
            own_world.stack.up(["mlflow"])
    assert proof(load(path), model).events.logged == 20_000
