"""A supervised job in a thread, its processes, and waiting for what it does."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg

from driftline.audit import AuditReport, audit
from driftline.config import Config, load
from driftline.errors import DriftlineError
from driftline.storage.connection import connect
from driftline.streaming.flink.checkpoints import newest
from driftline.streaming.flink.supervise import Supervisor
from driftline.streaming.progress import Progress, ProgressReader
from tests import attacks
from tests.integration.job import flink_rest

Pids = dict[str, list[int]]  # the processes of a job: "jvm" and "worker"

PATIENCE = 300.0  # seconds; for slow machines, nothing is expected to take as long


class Running:
    """The job of one model, run by a `Supervisor` in a thread; a context manager.

    Leaving it stops the job whatever happened.

    Parameters:
        config_path: the `driftline.yaml`.
        model: which model.
    """

    def __init__(self, config_path: Path, model: str) -> None:
        self.config = load(config_path)
        self.model = model
        self.supervisor = Supervisor(config_path, self.config, model)
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"supervisor of {model}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self.supervisor.stop()
            self._thread.join()

    def drain(self) -> None:
        """Stop the job after all windows have closed."""
        self.supervisor.stop(drain=True)
        self._thread.join()
        self._check()

    def progress(self) -> Progress:
        """What the store holds now."""
        return progress(self.config, self.model)

    def wait_until_settled(self, messages: int) -> Progress:
        """Wait until so many messages have their outcome."""

        def settled() -> Progress | None:
            self._check()
            assert self._thread.is_alive(), f"the job ended:\n{self.last_words()}"
            progress = self.progress()
            return progress if progress.events + progress.labels >= messages else None

        progress: Progress = wait_for(settled, f"{messages} settled messages", self.last_words)
        return progress

    def pids(self) -> Pids:
        """The job's own processes."""
        leader = self.supervisor._child
        assert leader is not None
        return processes(leader.pid)

    def tree(self) -> list[int]:
        """Every process of the job."""
        leader = self.supervisor._child
        assert leader is not None
        return [leader.pid, *(p.pid for p in psutil.Process(leader.pid).children(recursive=True))]

    def ask_flink(self, path: str, method: str = "GET") -> Any:
        """An answer of the REST API of Flink's JVM; None while there is none."""
        for key in self.config.state.glob("run/job-*/tmp/flink.pem"):
            for _, port in attacks.listening(self.pids()["jvm"]):
                answer = flink_rest.ask(port, key, path, method)
                if answer is not None:
                    return answer
        return None

    def running_jobs(self) -> list[str]:
        """The ids of Flink's jobs that run in the JVM."""
        jobs = (self.ask_flink("/jobs") or {}).get("jobs", [])
        return [job["id"] for job in jobs if job["status"] == "RUNNING"]

    def last_words(self) -> str:
        """The end of the job's log."""
        path = self.supervisor.log_path
        return path.read_text(errors="replace")[-4_000:] if path.is_file() else "it has no log"

    def _run(self) -> None:
        try:
            self.supervisor.run()
        except BaseException as error:
            self.error = error

    def _check(self) -> None:
        if self.error is not None:
            raise self.error


def wait_until_midstream(config: Config, model: str) -> None:
    """Wait until a checkpoint is complete that is younger than the first settled messages."""
    folder = str(config.state / "checkpoints" / model)
    wait_for(lambda: progress(config, model).events, "the first settled message")
    previous = newest(folder)
    wait_for(lambda: newest(folder) != previous, "a checkpoint in mid-stream")


def processes(session: int) -> Pids:
    """The JVM and the Python workers in a session."""
    pids: Pids = {"jvm": [], "worker": []}
    for process in psutil.process_iter(["cmdline"]):
        try:
            if os.getsid(process.pid) != session:
                continue
        except ProcessLookupError:
            continue
        command = " ".join(process.info["cmdline"] or ())
        if "py4j.GatewayServer" in command:
            pids["jvm"].append(process.pid)
        elif "beam_boot" in command:
            pids["worker"].append(process.pid)
    return pids


def command(name: str, model: str, path: Path, **options: Any) -> "subprocess.Popen[bytes]":
    """A `driftline` command in a process and a session of its own."""
    words = [sys.executable, "-m", "driftline.cli", name, model, "--config", str(path)]
    return subprocess.Popen(words, start_new_session=True, **options)


def progress(config: Config, model: str) -> Progress:
    """What the store holds of a model; nothing while the database is away."""
    try:
        with connect(config.local_postgres(), "read", autocommit=True) as connection:
            return ProgressReader(connection, model).read()
    except (DriftlineError, psycopg.OperationalError):
        return Progress()


def rows(config: Config, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a query gives."""
    with connect(config.local_postgres(), "read", autocommit=True) as connection:
        return connection.execute(statement, values).fetchall()


def wait_for(condition: Callable[[], Any], goal: str, words: Callable[[], str] = str) -> Any:
    """Wait until a condition gives something true; gives it back."""
    until = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < until, f"waited in vain for {goal}\n{words()}"
        time.sleep(0.2)  # each look is a connection and a count, on cores that the job needs
    return result


def proof(config: Config, model: str) -> AuditReport:
    """The whole audit of a stream that has ended; it must agree."""
    report = audit(config, model, complete=True, deep=True)
    assert report.ok, report.differences
    return report
