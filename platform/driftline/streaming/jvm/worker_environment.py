"""How the environment of `driftline run`, with its secrets, reaches a job's Python workers.

Flink and Beam write the environment of Python workers to their logs. So the JVM, whose environment
they inherit, is started without secrets; the workers read the rest from a private file.
"""

import json
import os
from pathlib import Path

from driftline.private_files import write_private

_FILE = "DRIFTLINE_ENVIRONMENT_FILE"


def keep_for_workers(folder: Path) -> dict[str, str]:
    """Write this process's environment to a private file.

    Parameters:
        folder: where; it must be private itself.

    Returns:
        The variable by which `take_over` finds the file.
    """
    path = folder / "environment.json"
    write_private(path, json.dumps(dict(os.environ)))
    return {_FILE: str(path)}


def take_over() -> None:
    """Complete a worker's environment from the file; without one, as on a cluster, do nothing."""
    path = os.environ.get(_FILE)
    if path is not None:
        kept: dict[str, str] = json.loads(Path(path).read_text())
        os.environ.update({name: kept[name] for name in kept.keys() - os.environ.keys()})
