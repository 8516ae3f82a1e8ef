"""`driftline demo`, as the README tells people to run it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from driftline.services.stack import Stack

COMMAND = [str(Path(sys.executable).with_name("driftline")), "demo"]
FLIGHTS = 4_000


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty state folder."""
    return tmp_path_factory.mktemp("demo") / "state"


def _demo(state: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--state", str(state), "--events", str(FLIGHTS), *options],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def _running(state: Path) -> list[str]:
    return [service.name for service in Stack(state).status() if service.state != "stopped"]


def test_the_demo_ends_with_a_proof_and_leaves_nothing_running(state: Path) -> None:
    """Exit code 0, every flight logged once, everything that it started is stopped."""
    done = _demo(state)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"logged {FLIGHTS:,} = profiled {FLIGHTS:,} (every cell)" in done.stdout
    assert f"= published {FLIGHTS:,}  all agrees" in done.stdout
    said = " ".join(done.stdout.split())
    assert "versions 2 and 3 are registered and score as shadows" in said
    assert "version 3 is refused: " in said, said
    assert "version 2 is promoted: " in said, said
    assert "version 2 serves" in said
    assert "the dashboards: driftline up -c " in said
    served = [
        int(n.replace(",", ""))
        for n in re.findall(r"served by version [12] [^0-9]*([0-9,]+)", said)
    ]
    assert len(served) == 2
    assert sum(served) == FLIGHTS
    assert "served by version 3" not in said
    assert _running(state) == []


def test_a_second_run_reuses_the_model_and_can_be_interrupted(state: Path) -> None:
    """The champion is kept; Ctrl-C ends the job and the services."""
    arguments = [*COMMAND, "--state", str(state), "--rate", "50"]
    demo = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if "0 of " in line:  # the stream has begun
            break
    time.sleep(2)
    demo.send_signal(signal.SIGINT)
    said += demo.stdout.read()
    assert demo.wait(timeout=300) == 130, said
    assert "version 1 is champion" in said
    assert "trained" not in said
    assert _running(state) == []
    assert _jobs_of(state) == []


def test_a_third_run_can_leave_the_services_running(state: Path) -> None:
    """`--keep-running`; the config that the demo wrote works with the other commands."""
    try:
        done = _demo(state, "--keep-running", "--rate", "2000", "--seed", "0")
        assert done.returncode == 0, done.stdout + done.stderr
        assert sorted(_running(state)) == ["kafka", "mlflow", "timescaledb"]
        audit = [COMMAND[0], "audit", "flights-late", "--json", "--config"]
        proof = subprocess.run(
            [*audit, str(state / "demo" / "driftline.yaml")],
            capture_output=True,
            text=True,
            check=True,
        )
        assert json.loads(proof.stdout)["ok"]
    finally:
        Stack(state).down()


def _jobs_of(state: Path) -> list[int]:
    """Processes that still work for a state folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(state).encode() in command and b"driftline" in command:
                found.append(int(entry.name))
    return found
