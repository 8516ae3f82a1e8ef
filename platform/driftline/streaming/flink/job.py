"""The Flink job of one model: `python -m driftline.streaming.flink.job`.

`driftline run` starts and supervises it; Flink's own `flink run -py` can also start it.
"""

import argparse
import contextlib
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pyflink
from py4j.protocol import Py4JJavaError
from pyflink.common import Configuration, JobClient, JobStatus
from pyflink.datastream import StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway
from pyflink.table import EnvironmentSettings, StreamTableEnvironment, TableResult

from driftline import names
from driftline.config import Config, Model, load
from driftline.services.jars import flink_connector_jars
from driftline.streaming.flink.checkpoints import checkpoint_folder
from driftline.streaming.flink.topology import build
from driftline.streaming.jvm.gateway import flink_jvm

log = logging.getLogger("driftline.job")


def main(arguments: list[str] | None = None) -> None:
    """Build the topology, submit it, and wait for the job unless it runs on a cluster."""
    options = _parse(arguments)
    config = load(options.config)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    logging.getLogger("py4j").setLevel(logging.WARNING)
    os.umask(0o077)  # also for the files of its workers and its JVM
    with flink_jvm(config) as local:
        _run(config, options, local)


def _run(config: Config, options: argparse.Namespace, local: Mapping[str, str]) -> None:
    settings = flink_settings(config, options.model, restore=options.restore)
    if options.cluster is not None or options.detached:
        _submit(config, options, _on_a_cluster(settings, options.cluster))
        return
    settings = {**local, **settings}
    job = _submit(config, options, settings)
    stop = _Stop(job.get_job_client(), checkpoint_folder(config, options.model))
    signal.signal(signal.SIGTERM, lambda *_: stop.request())
    signal.signal(names.DRAIN_SIGNAL, lambda *_: stop.request(close_windows=True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor handles Ctrl-C
    _watch(stop)
    job.wait()
    if stop.closes_windows:
        _close_windows(config, options, settings, stop.savepoints.get())


def _submit(
    config: Config, options: argparse.Namespace, settings: Mapping[str, str]
) -> TableResult:
    starts = {topic: {int(p): o for p, o in at.items()} for topic, at in options.starts.items()}
    job = build(table_environment(settings), config, options.model, starts).execute()
    log.info("job %s of %s submitted", job.get_job_client().get_job_id(), options.model)
    return job


def _close_windows(
    config: Config, options: argparse.Namespace, settings: Mapping[str, str], savepoint: str
) -> None:
    """Let event time end in a second run, from the savepoint just created, to close all windows.

    An idle source does not forward the end of event time; after a restore it is not idle, and
    without an idle timeout it does not become idle.
    """
    changed = {"execution.state-recovery.path": savepoint}
    idle = "table.exec.source.idle-timeout"
    settings = {key: value for key, value in settings.items() if key != idle} | changed
    job = _submit(config, options, settings)
    _Stop(job.get_job_client(), checkpoint_folder(config, options.model)).request(drain=True)
    job.wait()


def _on_a_cluster(settings: Mapping[str, str], address: str | None) -> dict[str, str]:
    """Settings for a cluster; without an address, Flink's own client knows where to submit."""
    python = sorted(Path(pyflink.__file__).parent.glob("opt/flink-python-*.jar"))
    jars = [settings["pipeline.jars"], *(path.as_uri() for path in python)]
    settings = {**settings, "pipeline.jars": ";".join(jars)}  # not on a cluster's class path
    if address is None:
        return settings
    host, _, port = address.rpartition(":")
    target = {"execution.target": "remote", "rest.address": host, "rest.port": port}
    retries = {"rest.retry.max-attempts": "3", "rest.retry.delay": "1 s"}  # default: a minute long
    return retries | settings | target


@dataclass
class _Stop:
    """Stops a job with a savepoint.

    Attributes:
        requested: set once a stop was requested.
        closes_windows: whether to close all windows afterwards.
        savepoints: receives the savepoint's path.
    """

    client: JobClient
    folder: str
    requested: threading.Event = field(default_factory=threading.Event, init=False)
    closes_windows: bool = field(default=False, init=False)
    savepoints: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue, init=False)

    def request(self, *, close_windows: bool = False, drain: bool = False) -> None:
        """Stop the job in a new thread, as the main one may be inside a call to the JVM."""
        if self.requested.is_set():
            return
        self.requested.set()
        self.closes_windows = close_windows
        log.info("stopping with a savepoint%s", ", draining" if drain else "")
        threading.Thread(target=self._stop, args=[drain], daemon=True).start()

    def _stop(self, drain: bool) -> None:
        # PyFlink 2.3's own method calls a Java one that no longer exists
        native = get_gateway().jvm.org.apache.flink.core.execution.SavepointFormatType.NATIVE
        while True:
            try:
                path = self.client._j_job_client.stopWithSavepoint(drain, self.folder, native).get()
            except Py4JJavaError as error:  # its tasks are starting or restarting
                log.info("savepoint delayed: %s", str(error.java_exception).splitlines()[0])
                time.sleep(1)
                continue
            log.info("savepoint created: %s", path)
            self.savepoints.put(path)
            return


def _watch(stop: _Stop) -> None:
    """Exit if the supervisor has ended, as two jobs of one model must not run, or if somebody
    else cancelled the job, which Flink would not restart: the supervisor does.
    """
    parent = os.getppid()
    # each in its own thread, so that a call to a JVM that hangs does not block the other check
    for ended in (lambda: os.getppid() != parent, partial(_is_cancelled, stop)):
        threading.Thread(target=_end_when, args=[ended], daemon=True).start()


def _end_when(ended: Callable[[], bool]) -> None:
    while not ended():
        time.sleep(1)
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    os._exit(1)


def _is_cancelled(stop: _Stop) -> bool:
    try:
        status = stop.client.get_job_status().result()
    except Exception:  # the JVM is ending
        return False
    if stop.requested.is_set() or status not in (JobStatus.CANCELLING, JobStatus.CANCELED):
        return False
    log.error("job was cancelled, but not by its supervisor: exiting, the supervisor restarts it")
    return True


def table_environment(settings: Mapping[str, str]) -> StreamTableEnvironment:
    """Create a streaming table environment with Flink settings."""
    configuration = Configuration()
    for key, value in settings.items():
        configuration.set_string(key, value)
    environment = StreamExecutionEnvironment.get_execution_environment(configuration)
    builder = EnvironmentSettings.new_instance().in_streaming_mode()
    tables = builder.with_configuration(configuration).build()
    return StreamTableEnvironment.create(environment, tables)


def flink_settings(config: Config, name: str, *, restore: str | None = None) -> dict[str, str]:
    """Flink's settings for a model's job; `flink.properties` overrides them."""
    flink, model = config.flink, config.model(name)
    settings = {
        "pipeline.name": f"driftline {name}",
        "pipeline.jars": ";".join(_jars()),
        "parallelism.default": str(flink.parallelism),
        "table.local-time-zone": "UTC",
        "execution.checkpointing.interval": _millis(flink.checkpoint_interval.total_seconds()),
        "execution.checkpointing.dir": checkpoint_folder(config, name),
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        "execution.checkpointing.num-retained": "3",
        # checkpoints fail while the database is unavailable; the job must wait, not fail
        "execution.checkpointing.tolerable-failed-checkpoints": "1000000",
        "execution.checkpointing.timeout": "12 min",
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "30 s",
        # after these the supervisor takes over: it waits for services and tries an older checkpoint
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": "3",
        "restart-strategy.exponential-delay.reset-backoff-threshold": "10 min",
        "taskmanager.memory.managed.size": "128m",
        "taskmanager.memory.network.max": "128m",
        **_python(model),
    }
    if model.features.sql is not None:
        idle = _millis(model.features.sql.idle_timeout.total_seconds())
        settings["table.exec.source.idle-timeout"] = idle
    if restore is not None:
        settings["execution.state-recovery.path"] = restore
    return settings | flink.read_properties()


def _python(model: Model) -> dict[str, str]:
    rows = model.stream.rows
    return {
        "python.executable": sys.executable,
        "python.client.executable": sys.executable,
        # several batches per bundle, so that the JVM prepares the next one while Python works
        "python.fn-execution.bundle.size": str(4 * rows),
        "python.fn-execution.arrow.batch.size": str(rows),
        "python.fn-execution.bundle.time": str(int(model.stream.time.total_seconds() * 1_000)),
    }


def _jars() -> list[str]:
    folder = flink_connector_jars(lambda _: None)
    return [path.resolve().as_uri() for path in sorted(folder.rglob("*.jar"))]


def _millis(seconds: float) -> str:
    return f"{int(seconds * 1_000)} ms"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--restore", help="checkpoint or savepoint to start from")
    parser.add_argument("--starts", type=json.loads, default={}, help='{"topic": {"0": 17}}')
    parser.add_argument("--cluster", help="host:port of a cluster to submit to")
    parser.add_argument("--detached", action="store_true", help="submit by `flink run -py`")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
