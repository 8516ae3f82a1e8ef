"""`driftline run --cluster`: submits a model's job to a standalone Flink cluster."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from driftline.config import Config
from driftline.errors import ServiceError
from driftline.streaming.checkpoints import newest
from driftline.streaming.job import checkpoint_folder
from driftline.streaming.supervise import job_environment

_JOB_ID = re.compile(r"Job has been submitted with JobID ([0-9a-f]{32})")


def submit(config_path: Path, config: Config, model: str, cluster: str, restore: str | None) -> str:
    """Submit the job and return its id; the cluster restarts it from its checkpoints.

    The workers need this Python environment, the config and its secrets at the same paths.

    Parameters:
        config_path: the `driftline.yaml` that the job's processes read.
        config: the same, loaded.
        model: which model.
        cluster: host:port of the job manager's REST address.
        restore: a checkpoint or savepoint, "none" for none; default the newest complete one.

    Raises:
        ServiceError: the cluster did not take it; with what Flink's client said.
    """
    arguments = ["--config", str(config_path.resolve()), "--model", model, "--detached"]
    start = newest(checkpoint_folder(config, model)) if restore is None else restore
    if start not in (None, "none"):
        arguments += ["--restore", start]
    python = ["-pyclientexec", sys.executable, "-pyexec", sys.executable]
    script = Path(__file__).with_name("job.py")
    command = [str(flink_home() / "bin" / "flink"), "run", "-d", "-m", cluster, *python]
    done = subprocess.run(
        [*command, "-py", str(script), *arguments],
        env=dict(job_environment(config)),
        capture_output=True,
        text=True,
        check=False,
    )
    found = _JOB_ID.search(done.stdout)
    if found is None:
        said = (done.stdout + done.stderr).strip().splitlines()
        causes = [line for line in said if "Caused by" in line][-3:] or said[-5:]
        raise ServiceError(
            f"the Flink cluster at {cluster!r} did not take the job:\n" + "\n".join(causes)
        )
    return found[1]


def flink_home() -> Path:
    """Flink's own folder, inside PyFlink's wheel."""
    found = importlib.util.find_spec("pyflink")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent
