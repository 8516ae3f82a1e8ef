"""`driftline run`: keeps a model's job running on Flink's mini cluster.

Flink restarts what fails inside the job. If the JVM dies, the supervisor starts the job again from
the newest complete checkpoint, waits longer each time, and raises an error when the job keeps
failing without settling a single message.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from driftline import names
from driftline.config import Config
from driftline.errors import DriftlineError, ServiceError
from driftline.storage.connection import connect
from driftline.streaming import startup_error
from driftline.streaming.flink.check import check_ready
from driftline.streaming.flink.checkpoints import checkpoint_folder, discard_forgotten, newest

ATTEMPTS = 3  # failures in a row without progress
BACKOFF_SECONDS = (1.0, 2.0, 5.0, 15.0, 30.0)
SERVICE_SECONDS = 5.0  # between two checks of services that are unavailable
STOP_SECONDS = 300.0  # for a savepoint, which waits for the batch in progress

log = logging.getLogger(__name__)


class JobError(DriftlineError):
    """The job keeps failing without progress."""


@dataclass
class Supervisor:
    """Runs a model's job until it is stopped.

    Parameters:
        config_path: the `driftline.yaml` that the job's processes read.
        config: the loaded config.
        model: which model.
        restore: a checkpoint to start from, or "none"; default the newest complete one.
    """

    config_path: Path
    config: Config
    model: str
    restore: str | None = None
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _stopping: bool = field(default=False, init=False)
    _draining: bool = field(default=False, init=False)
    _began: float = field(default_factory=time.time, init=False)

    @property
    def log_path(self) -> Path:
        """The job's log; Flink's own log is in the folder of the same name."""
        return self.config.state / "logs" / f"job-{self.model}.log"

    def run(self) -> None:
        """Run until `stop` is called or the job finishes.

        Raises:
            JobError: `ATTEMPTS` failures in a row without progress, or the job cannot start.
            DriftlineError: something that the job needs is missing at the start; later, `run`
                waits for services that are unavailable.
        """
        check_ready(self.config, self.model)
        discard_forgotten(self.config, self.model)
        failures, code = 0, -1
        while not self._stopping:
            settled = self._settled()
            code = self._run_once(self._restore_path(failures))
            if code == 0 or self._stopping:
                break
            failures = 0 if self._settled() > settled else failures + 1
            if failures >= ATTEMPTS:
                raise JobError(self._failure())
            pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            log.warning("job of %s ended; restarting in %.0f s", self.model, pause)
            self._sleep(pause)
            self._wait_for_services()
        if self._draining and code != 0:
            raise JobError(
                f"job of {self.model!r} stopped without closing its last windows: start it again, "
                f"its newest checkpoint contains them (see {str(self.log_path)!r})"
            )

    def stop(self, *, drain: bool = False) -> None:
        """Stop the job with a savepoint; `drain` closes all windows first.

        Safe to call from a signal handler or another thread; `run` returns when it has stopped.
        """
        self._draining = drain and self.config.model(self.model).features.sql is not None
        self._stopping = True
        self._signal()

    def _signal(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(names.DRAIN_SIGNAL if self._draining else signal.SIGTERM)

    def _run_once(self, restore: str | None) -> int:
        """Run the job once; returns its exit code."""
        if self._stopping:
            return -1  # stopped before the job was started
        arguments = ["--config", str(self.config_path), "--model", self.model]
        if restore is not None:
            arguments += ["--restore", restore]
        else:
            arguments += ["--starts", json.dumps(self._starts())]
        startup_error.error_file(self.config, self.model).unlink(missing_ok=True)
        self.config.folder("logs")
        with self.log_path.open("ab") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "driftline.streaming.flink.job", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**job_environment(self.config), "FLINK_LOG_DIR": str(self._jvm_logs())},
                start_new_session=True,
                umask=0o077,
            )
        if self._stopping:  # `stop` was called before it could see this process
            self._signal()
        log.info("job of %s started: pid %d, from %s", self.model, self._child.pid, restore)
        try:
            return self._wait(self._child)
        finally:
            end_session(self._child.pid)

    def _jvm_logs(self) -> Path:
        """The folder of Flink's log, which each run starts again; the last run's log is kept."""
        folder = self.config.folder("logs", self.log_path.stem)
        for path in folder.glob("*.log"):
            path.replace(path.with_suffix(".log.1"))
        return folder

    def _wait_for_services(self) -> None:
        while not self._stopping:
            try:
                check_ready(self.config, self.model)
                return
            except ServiceError as error:
                log.warning("job of %s waits for a service: %s", self.model, error)
                self._sleep(SERVICE_SECONDS)

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        deadline: float | None = None
        error_file = startup_error.error_file(self.config, self.model)
        while (code := child.poll()) is None:
            if error_file.is_file():
                raise JobError(f"job of {self.model!r} can't start: {error_file.read_text()}")
            if self._stopping:
                deadline = deadline or time.monotonic() + STOP_SECONDS
                if time.monotonic() > deadline:
                    log.error("job of %s did not stop in time; killing it", self.model)
                    return -1
            time.sleep(0.1)
        return code

    def _restore_path(self, failures: int) -> str | None:
        """The checkpoint to start from; after repeated failures, an older one."""
        checkpoint = self._newest(skip=max(0, failures - 1))
        if self.restore is None or checkpoint is not None:
            return checkpoint
        return None if self.restore == "none" else self.restore

    def _newest(self, skip: int = 0) -> str | None:
        """The newest checkpoint; if `restore` names one, only of those created since the start."""
        since = 0.0 if self.restore is None else self._began
        return newest(checkpoint_folder(self.config, self.model), skip=skip, since=since)

    def _starts(self) -> dict[str, dict[int, int]]:
        """Offsets to start from without a checkpoint: after the settled messages, if possible.

        With an output topic or windows, all messages must be read again; settled ones are not
        stored twice.
        """
        model = self.config.model(self.model)
        if model.output is not None or model.features.sql is not None:
            return {}
        with connect(self.config.local_postgres(), "read", autocommit=True) as connection:
            rows = connection.execute(
                """SELECT s.topic, s.partition, upper((array_agg(r ORDER BY r))[1])
                     FROM driftline.source s
                     JOIN (SELECT source, unnest(range_agg(offsets)) AS r
                             FROM driftline.ledger GROUP BY source) l ON l.source = s.id
                    WHERE s.model = %s GROUP BY s.topic, s.partition""",
                (self.model,),
            ).fetchall()
        starts: dict[str, dict[int, int]] = {}
        for topic, partition, offset in rows:
            starts.setdefault(topic, {})[partition] = offset
        return starts

    def _settled(self) -> int:
        """Number of settled messages; 0 if the database is unavailable."""
        try:
            with connect(self.config.local_postgres(), "read", autocommit=True) as connection:
                row = connection.execute(
                    """SELECT coalesce(sum(logged + duplicate + rejected + filtered), 0)
                         FROM driftline.ledger WHERE source IN
                              (SELECT id FROM driftline.source WHERE model = %s)""",
                    (self.model,),
                ).fetchone()
        except DriftlineError:
            return 0
        return int(row[0]) if row else 0

    def _failure(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        causes = [line for line in lines if "Error" in line or "Exception" in line][-5:]
        return (
            f"job of {self.model!r} failed {ATTEMPTS} times in a row without progress "
            f"(full log: {str(self.log_path)!r}):\n" + "\n".join(causes)
        )

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(0.1)


def job_environment(config: Config) -> Mapping[str, str]:
    """The environment of a job's Python processes: separate workers, no telemetry."""
    return {
        **os.environ,
        "_python_worker_execution_mode": "process",
        # as for `driftline` itself, no module is imported from the current folder
        "PYTHONSAFEPATH": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "-1",
        # keep freed arrays: returning and faulting in memory costs a third of counting a profile
        "MALLOC_TRIM_THRESHOLD_": "500000000",
        "MALLOC_MMAP_THRESHOLD_": "500000000",
        "FLINK_LOG_DIR": str(config.folder("logs")),
    }


def end_session(leader: int) -> None:
    """End all processes left in a session, such as the JVM and its workers, after its leader."""
    remaining = [process for process in psutil.process_iter() if _session(process.pid) == leader]
    for process in remaining:
        process.terminate()
    _, alive = psutil.wait_procs(remaining, timeout=10)
    for process in alive:
        process.kill()


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None
