"""Generates features of recorded events with a bounded run of the job in a separate process."""

import json
import re
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from driftline import parquet
from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.names import LEFT_OUT
from driftline.streaming.flink.supervise import end_session, job_environment

_CAUSE = re.compile(r"(: |Caused by: |\S*(Exception|Error): )")
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class LeftOut:
    """Lines without a row of features: not an event, or filtered by the definition.

    Attributes:
        reason: the stream's reason code for rejecting them, or "filtered".
        lines: number of lines.
        first: the error of the first of them.
    """

    reason: str
    lines: int
    first: str

    def __str__(self) -> str:
        return f"{self.lines:,} {self.reason}" + (f" ({self.first})" if self.first else "")


def left_out(features: pa.Table) -> list[LeftOut]:
    """Lines for which a table of features has no row, most frequent reason first."""
    metadata = (features.schema.metadata or {}).get(LEFT_OUT, b"[]")
    return [LeftOut(**fields) for fields in json.loads(metadata)]


def features_of_history(
    config_path: Path,
    config: Config,
    model: str,
    events: Path,
    target: Path,
    *,
    stop: threading.Event | None = None,
) -> pa.Table:
    """Generate features of recorded events with the stream's own definition.

    Parameters:
        config_path: the `driftline.yaml` that the run reads.
        config: the loaded config.
        model: which model.
        events: a file with one event per line, or a folder of such files.
        target: the Parquet file to write.
        stop: stops the run when it is set; for callers in a thread, which Ctrl-C does not
            interrupt.

    Returns:
        event_id, event_time, then the feature columns; see `left_out`.

    Raises:
        DriftlineError: the run failed, with the end of its log; or it was stopped.
    """
    if not events.exists():
        raise DriftlineError(f"no file {str(events)!r}: give a file with one event per line")
    log_path = config.folder("logs") / f"features-{model}.log"
    command = [sys.executable, "-m", "driftline.streaming.history.bounded"]
    with log_path.open("wb") as output:
        child = subprocess.Popen(
            [*command, str(config_path), model, str(events), str(target)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=job_environment(config),
            start_new_session=True,
        )
        try:
            code = _wait(child, stop)
        finally:
            end_session(child.pid)
    if code != 0:
        lines = log_path.read_text(errors="replace").strip().splitlines()
        causes = [line for line in lines if _CAUSE.match(line)][-2:] or lines[-3:]
        raise DriftlineError(
            f"can't generate features of {str(events)!r} (full log: {str(log_path)!r}):\n"
            + "\n".join(causes)
        )
    return parquet.read(target)


def _wait(child: subprocess.Popen[bytes], stop: threading.Event | None) -> int:
    if stop is None:
        return child.wait()
    while (code := child.poll()) is None:
        if stop.wait(_POLL_SECONDS):
            raise DriftlineError("feature generation was stopped")
    return code
