"""A test run leaves nothing running: not when it fails, and not when it is interrupted."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import leftovers

# A process in a session of its own that ends by nothing but a signal, as services are.
STARTED = """
import subprocess, sys, time

def test_one(tmp_path):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    open("started", "w").close()
"""
WAITS = "    time.sleep(600)\n"
RUN = [sys.executable, "-m", "pytest", "-q", "-p", "tests.leftovers", "-p", "no:cacheprovider"]
XDIST = ["-p", "xdist", "-n", "1"]


def run(folder: Path, test: str, *options: str) -> "subprocess.Popen[str]":
    """A run of its own of one test."""
    (folder / "test_it.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\n")
    root = Path(__file__).parents[2]
    environ = {**os.environ, leftovers.MARK: str(folder), "PYTHONPATH": str(root)}
    environ |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environ = {name: value for name, value in environ.items() if "XDIST" not in name}
    return subprocess.Popen(
        [*RUN, *options, "test_it.py"],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.long
@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, []), (signal.SIGTERM, XDIST)])
def test_what_an_interrupted_run_has_started_ends(
    tmp_path: Path, number: signal.Signals, workers: list[str]
) -> None:
    running = run(tmp_path, STARTED + WAITS, *workers)
    while not (tmp_path / "started").exists():
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.05)
    assert len(leftovers.processes(str(tmp_path))) >= 1
    running.send_signal(number)
    said, _ = running.communicate(timeout=120)
    assert running.returncode == pytest.ExitCode.INTERRUPTED, said
    assert leftovers.processes(str(tmp_path)) == []


@pytest.mark.long
def test_a_run_that_leaves_a_process_fails(tmp_path: Path) -> None:
    running = run(tmp_path, STARTED, *XDIST)
    said, _ = running.communicate(timeout=120)
    assert running.returncode == pytest.ExitCode.TESTS_FAILED
    assert "ended 1 processes that were left running: python" in said
    assert leftovers.processes(str(tmp_path)) == []
