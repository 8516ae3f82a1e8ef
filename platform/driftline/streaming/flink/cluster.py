"""`driftline run --cluster`: submits a model's job to a standalone Flink cluster."""

import re
import subprocess
import sys
from pathlib import Path

from driftline.config import Config
from driftline.errors import ServiceError
from driftline.streaming.flink.checkpoints import checkpoint_folder, discard_forgotten, newest
from driftline.streaming.flink.supervise import job_environment

_JOB_ID = re.compile(r"job ([0-9a-f]{32}) of \S+ submitted")


def submit(config_path: Path, config: Config, model: str, cluster: str, restore: str | None) -> str:
    """Submit the job and return its id; the cluster restarts it from its checkpoints.

    The workers need this Python environment, the config and its secrets at the same paths as here.

    Parameters:
        config_path: the `driftline.yaml` that the job's processes read.
        config: the loaded config.
        model: which model.
        cluster: host:port of the job manager's REST API.
        restore: a checkpoint or savepoint, or "none"; default the newest complete one.

    Raises:
        ServiceError: the cluster rejected the job; with the error of Flink's client.
    """
    arguments = ["--config", str(config_path.resolve()), "--model", model, "--cluster", cluster]
    discard_forgotten(config, model)
    start = newest(checkpoint_folder(config, model)) if restore is None else restore
    if start not in (None, "none"):
        arguments += ["--restore", start]
    process = subprocess.run(
        [sys.executable, "-m", "driftline.streaming.flink.job", *arguments],
        env={**job_environment(config), "FLINK_LOG_DIR": str(config.folder("logs", "submit"))},
        capture_output=True,
        text=True,
        check=False,
    )
    output = process.stdout + process.stderr
    submitted = _JOB_ID.search(output)
    if submitted is None:
        lines = output.strip().splitlines()
        causes = [line for line in lines if "Caused by" in line][-3:] or lines[-5:]
        raise ServiceError(
            f"the Flink cluster at {cluster!r} rejected the job:\n" + "\n".join(causes)
        )
    return submitted[1]
