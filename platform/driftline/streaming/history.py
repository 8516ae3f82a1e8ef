"""Features of recorded events, made by a bounded run of the job in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa

from driftline import parquet
from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.streaming.supervise import end_session, job_environment

_CAUSE = re.compile(r"(: |Caused by: |\S*(Exception|Error): )")


def features_of_history(
    config_path: Path, config: Config, model: str, events: Path, target: Path
) -> pa.Table:
    """Make the features of recorded events through the stream's own definition.

    Parameters:
        config_path: the `driftline.yaml` that the run reads.
        config: the same, loaded.
        model: which model.
        events: a file with one event a line, or a folder of such files.
        target: the Parquet file to write.

    Returns:
        event_id, event_time, then the feature columns.

    Raises:
        DriftlineError: the run failed; with its last words.
    """
    log_path = config.state / "logs" / f"features-{model}.log"
    log_path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "driftline.streaming.bounded"]
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
            code = child.wait()
        finally:
            end_session(child.pid)
    if code != 0:
        lines = log_path.read_text(errors="replace").strip().splitlines()
        said = [line for line in lines if _CAUSE.match(line)][-2:] or lines[-3:]
        raise DriftlineError(
            f"can't make features of {str(events)!r} (all of it in {str(log_path)!r}):\n"
            + "\n".join(said)
        )
    return parquet.read(target)
