"""Passes the environment of `driftline run`, with its secrets, to a job's Python workers.

Flink and Beam write the environment of Python workers to their logs. So the JVM, from which they
inherit it, is started without secrets; the workers read those from a private file.
"""

import json
import os
from pathlib import Path

from driftline.private_files import write_private

_FILE = "DRIFTLINE_ENVIRONMENT_FILE"


def save_for_workers(folder: Path) -> dict[str, str]:
    """Write this process's environment to a private file.

    Parameters:
        folder: a private folder for the file.

    Returns:
        The environment variable with which `complete_environment` finds the file.
    """
    path = folder / "environment.json"
    write_private(path, json.dumps(dict(os.environ)))
    return {_FILE: str(path)}


def complete_environment() -> None:
    """Add missing variables from the file; does nothing without one, as on a cluster."""
    path = os.environ.get(_FILE)
    if path is not None:
        saved: dict[str, str] = json.loads(Path(path).read_text())
        os.environ.update({name: saved[name] for name in saved.keys() - os.environ.keys()})
