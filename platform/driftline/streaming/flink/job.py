"""The Flink job of one model: `python -m driftline.streaming.flink.job`.

`driftline run` starts and supervises it; Flink's own `flink run -py` can start it too.
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
    """Build the topology, submit it, and wait for it unless it was submitted to a cluster."""
    options = _parse(arguments)
    config = load(options.config)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    logging.getLogger("py4j").setLevel(logging.WARNING)
    os.umask(0o077)  # of all that the job writes, by its workers and its JVM, too
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
    signal.signal(signal.SIGTERM, lambda *_: stop.ask())
    signal.signal(names.DRAIN_SIGNAL, lambda *_: stop.ask(close_windows=True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
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
    """End event time in a second run, from the savepoint that was just made.

    A source that has been idle does not pass the end of time on; after a restore it is not idle,
    and here it does not become so.
    """
    changed = {"execution.state-recovery.path": savepoint}
    idle = "table.exec.source.idle-timeout"
    settings = {key: value for key, value in settings.items() if key != idle} | changed
    job = _submit(config, options, settings)
    _Stop(job.get_job_client(), checkpoint_folder(config, options.model)).ask(drain=True)
    job.wait()


def _on_a_cluster(settings: Mapping[str, str], address: str | None) -> dict[str, str]:
    """What differs on a cluster, to which Flink's own client submits where there is no address."""
    python = sorted(Path(pyflink.__file__).parent.glob("opt/flink-python-*.jar"))
    jars = [settings["pipeline.jars"], *(path.as_uri() for path in python)]
    settings = {**settings, "pipeline.jars": ";".join(jars)}  # its class path lacks Python's
    if address is None:
        return settings
    host, _, port = address.rpartition(":")
    there = {"execution.target": "remote", "rest.address": host, "rest.port": port}
    retries = {"rest.retry.max-attempts": "3", "rest.retry.delay": "1 s"}  # else for a minute
    return retries | settings | there


@dataclass
class _Stop:
    """Stops a job with a savepoint.

    Attributes:
        asked: set once it was asked to.
        closes_windows: whether all windows are to be closed then.
        savepoints: the one that was made, once it is.
    """

    client: JobClient
    folder: str
    asked: threading.Event = field(default_factory=threading.Event, init=False)
    closes_windows: bool = field(default=False, init=False)
    savepoints: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue, init=False)

    def ask(self, *, close_windows: bool = False, drain: bool = False) -> None:
        """Stop it, in a thread: the main one may be inside a call to the JVM."""
        if self.asked.is_set():
            return
        self.asked.set()
        self.closes_windows = close_windows
        log.info("stopping with a savepoint%s", ", draining" if drain else "")
        threading.Thread(target=self._stop, args=[drain], daemon=True).start()

    def _stop(self, drain: bool) -> None:
        # PyFlink 2.3's own method calls a Java one that no longer exists
        native = get_gateway().jvm.org.apache.flink.core.execution.SavepointFormatType.NATIVE
        while True:
            try:
                made = self.client._j_job_client.stopWithSavepoint(drain, self.folder, native).get()
            except Py4JJavaError as error:  # its tasks are still starting, or again
                log.info("no savepoint yet: %s", str(error.java_exception).splitlines()[0])
                time.sleep(1)
                continue
            log.info("savepoint at %s", made)
            self.savepoints.put(made)
            return


def _watch(stop: _Stop) -> None:
    """End at once when the supervisor is gone, as two jobs of one model must not run; also when
    somebody else has cancelled the job, which Flink would not start again: the supervisor does.
    """
    parent = os.getppid()
    # each in a thread of its own: a JVM that is stuck must not keep the other from being seen
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
    if stop.asked.is_set() or status not in (JobStatus.CANCELLING, JobStatus.CANCELED):
        return False
    log.error("the job was cancelled, and not by its supervisor: ending it, to start it again")
    return True


def table_environment(settings: Mapping[str, str]) -> StreamTableEnvironment:
    """A streaming table environment with these Flink settings."""
    configuration = Configuration()
    for key, value in settings.items():
        configuration.set_string(key, value)
    environment = StreamExecutionEnvironment.get_execution_environment(configuration)
    builder = EnvironmentSettings.new_instance().in_streaming_mode()
    tables = builder.with_configuration(configuration).build()
    return StreamTableEnvironment.create(environment, tables)


def flink_settings(config: Config, name: str, *, restore: str | None = None) -> dict[str, str]:
    """Flink's settings for a model's job; what `flink.properties` says wins."""
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
        # a checkpoint fails while the database is away; the job waits, it does not fail
        "execution.checkpointing.tolerable-failed-checkpoints": "1000000",
        "execution.checkpointing.timeout": "12 min",
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "30 s",
        # then the supervisor takes over, which waits for services and tries an older checkpoint
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
        # several batches a bundle: the JVM prepares the next one while Python works
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
