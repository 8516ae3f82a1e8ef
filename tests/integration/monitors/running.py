"""Runners as processes of their own, to be killed."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from driftline.config import Config

PROGRAM = """
import signal, sys
from pathlib import Path
from driftline.config import Config
from driftline.monitors.running.runner import Runner
runner = Runner(Config.model_validate_json(Path(sys.argv[1]).read_text()))
signal.signal(signal.SIGTERM, lambda *_: runner.stop())
runner.run()
"""


def start(config: Config, folder: Path) -> "subprocess.Popen[bytes]":
    """A runner; the caller ends it."""
    path = folder / "config.json"
    path.write_text(config.model_dump_json())
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    with (folder / f"runner-{time.monotonic_ns()}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(path)],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONPATH": paths},
        )


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    """Until it holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)
