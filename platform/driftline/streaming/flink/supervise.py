"""`driftline run`: keeps a model's job running on Flink's mini cluster.

Flink restarts what fails inside the job. What kills the JVM, the supervisor mends: it starts the
job again from the newest complete checkpoint, waits longer each time, and gives up loudly when
the job fails again and again without a single message settled.
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
SERVICE_SECONDS = 5.0  # between two looks for services that are away
STOP_SECONDS = 300.0  # a savepoint waits for the batch in flight

log = logging.getLogger(__name__)


class JobError(DriftlineError):
    """The job keeps failing without progress."""


@dataclass
class Supervisor:
    """Runs one model's job until it is told to stop.

    Parameters:
        config_path: the `driftline.yaml` that the job's processes read.
        config: the same, loaded.
        model: which model.
        restore: a checkpoint to start from, "none" for none; default the newest complete one.
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
        """Where the job writes; Flink's own log is in the folder of the same name."""
        return self.config.state / "logs" / f"job-{self.model}.log"

    def run(self) -> None:
        """Run until `stop`, or until the job ends by itself.

        Raises:
            JobError: `ATTEMPTS` failures in a row without progress, or the job refuses to start.
            DriftlineError: something that the job needs is not there at the beginning; later,
                services that are away are waited for.
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
                raise JobError(self._last_words())
            pause = BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)]
            log.warning("job of %s ended; starting it again in %.0f s", self.model, pause)
            self._sleep(pause)
            self._wait_for_services()
        if self._draining and code != 0:
            raise JobError(
                f"job of {self.model!r} was stopped, but its last windows were not closed: start "
                f"it again, they wait in its newest checkpoint (see {str(self.log_path)!r})"
            )

    def stop(self, *, drain: bool = False) -> None:
        """Stop the job with a savepoint; `drain` first lets all windows close.

        Safe to call from a signal handler or another thread; `run` returns when it is done.
        """
        self._draining = drain and self.config.model(self.model).features.sql is not None
        self._stopping = True
        self._signal()

    def _signal(self) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(names.DRAIN_SIGNAL if self._draining else signal.SIGTERM)

    def _run_once(self, restore: str | None) -> int:
        """Run the job once; gives its exit code."""
        if self._stopping:
            return -1  # told while there was no job: nothing was started
        arguments = ["--config", str(self.config_path), "--model", self.model]
        if restore is not None:
            arguments += ["--restore", restore]
        else:
            arguments += ["--starts", json.dumps(self._starts())]
        startup_error.note(self.config, self.model).unlink(missing_ok=True)
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
        if self._stopping:  # told just now: `stop` did not see this one yet
            self._signal()
        log.info("job of %s started, pid %d, from %s", self.model, self._child.pid, restore)
        try:
            return self._wait(self._child)
        finally:
            end_session(self._child.pid)

    def _jvm_logs(self) -> Path:
        """The folder of Flink's log, which each run begins anew; the last run's is kept."""
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
                log.warning("the job of %s waits: %s", self.model, error)
                self._sleep(SERVICE_SECONDS)

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        deadline: float | None = None
        refused = startup_error.note(self.config, self.model)
        while (code := child.poll()) is None:
            if refused.is_file():
                raise JobError(f"job of {self.model!r} can't start: {refused.read_text()}")
            if self._stopping:
                deadline = deadline or time.monotonic() + STOP_SECONDS
                if time.monotonic() > deadline:
                    log.error("job of %s did not stop in time; ending it", self.model)
                    return -1
            time.sleep(0.1)
        return code

    def _restore_path(self, failures: int) -> str | None:
        """The checkpoint to start from; after repeated failure, an older one."""
        made = self._newest(before=max(0, failures - 1))
        if self.restore is None or made is not None:
            return made
        return None if self.restore == "none" else self.restore

    def _newest(self, before: int = 0) -> str | None:
        """The newest checkpoint; where one to start from was named, of those made since."""
        since = 0.0 if self.restore is None else self._began
        return newest(checkpoint_folder(self.config, self.model), before=before, since=since)

    def _starts(self) -> dict[str, dict[int, int]]:
        """Where to begin without a checkpoint: behind what is settled, where that is enough.

        A topic that is published to, and windows, need all of it again: what is settled is not
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
        """How many messages have their outcome; 0 when the database cannot be asked now."""
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

    def _last_words(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()
        causes = [line for line in lines if "Error" in line or "Exception" in line][-5:]
        return (
            f"job of {self.model!r} failed {ATTEMPTS} times in a row without progress "
            f"(all of it in {str(self.log_path)!r}):\n" + "\n".join(causes)
        )

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(0.1)


def job_environment(config: Config) -> Mapping[str, str]:
    """The environment of a job's Python processes: real workers, no telemetry."""
    return {
        **os.environ,
        "_python_worker_execution_mode": "process",
        # as for `driftline` itself, no module comes from the current folder
        "PYTHONSAFEPATH": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "-1",
        # keep freed arrays: giving them back and faulting them in again costs a third of a count
        "MALLOC_TRIM_THRESHOLD_": "500000000",
        "MALLOC_MMAP_THRESHOLD_": "500000000",
        "FLINK_LOG_DIR": str(config.folder("logs")),
    }


def end_session(leader: int) -> None:
    """End every process of a session that a dead leader may have left: the JVM, its workers."""
    left = [process for process in psutil.process_iter() if _session(process.pid) == leader]
    for process in left:
        process.terminate()
    _, alive = psutil.wait_procs(left, timeout=10)
    for process in alive:
        process.kill()


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return None
