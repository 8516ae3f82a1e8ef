import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from driftline.errors import ServiceError
from driftline.services import process
from driftline.services.process import Command, ProcessId

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True)"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ProcessId]:
    started = process.spawn(Command(["/bin/sleep", "60"], tmp_path), tmp_path / "log")
    yield started
    process.stop(started, signal.SIGKILL, 5)


def test_a_process_is_known_until_it_ends(sleeper: ProcessId, tmp_path: Path) -> None:
    sleeper.save(tmp_path / "pid")
    assert ProcessId.load(tmp_path / "pid") == sleeper
    assert sleeper.alive()
    process.stop(sleeper, signal.SIGTERM, 5)
    assert not sleeper.alive()
    sleeper.send(signal.SIGTERM)  # is no error
    assert ProcessId.load(tmp_path / "absent") is None


def test_a_recycled_pid_is_somebody_else(sleeper: ProcessId) -> None:
    for stranger in (replace(sleeper, started=1), replace(sleeper, boot="another")):
        assert not stranger.alive()
        process.stop(stranger, signal.SIGKILL, 0)
    assert sleeper.alive()


def test_a_zombie_is_not_alive() -> None:
    reader, writer = os.pipe()
    child = subprocess.Popen(["/bin/sh", "-c", "read _"], stdin=reader)
    identity = ProcessId.of(child.pid)
    os.close(writer)
    os.close(reader)
    assert process.wait_gone(identity, 5)
    assert Path(f"/proc/{child.pid}").exists()  # nobody has waited for it
    child.wait()


def test_what_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    program = f"{STUBBORN}; time.sleep(60)"
    stubborn = process.spawn(Command([sys.executable, "-c", program], tmp_path), tmp_path / "log")
    while (tmp_path / "log").read_text() != "on\n":
        assert stubborn.alive()
    assert not process.wait_gone(stubborn, 0)
    process.stop(stubborn, signal.SIGTERM, 0.1)
    assert not stubborn.alive()


def test_a_child_has_its_own_session_no_input_and_no_telemetry(tmp_path: Path) -> None:
    program = (
        "import json, os, sys; print(json.dumps([os.getsid(0) == os.getpid(), sys.stdin.read(),"
        "os.environ['DO_NOT_TRACK'], os.environ['MLFLOW_DISABLE_TELEMETRY'], os.environ['X']]))"
    )
    command = Command([sys.executable, "-c", program], tmp_path, {"X": "y"})
    assert process.wait_gone(process.spawn(command, tmp_path / "log"), 20)
    assert json.loads((tmp_path / "log").read_text()) == [True, "", "true", "true", "y"]


def test_a_program_that_cannot_start_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="can't run '/no/such': No such file or directory"):
        process.spawn(Command(["/no/such"], tmp_path), tmp_path / "log")
