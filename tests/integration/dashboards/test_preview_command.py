"""`driftline preview`, as a person starts and stops it."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from driftline.config import Config
from driftline.services import ports

COMMAND = [str(Path(sys.executable).with_name("driftline")), "preview"]


@pytest.fixture
def settings(monitored_store: Config, tmp_path: Path) -> Path:
    path = tmp_path / "driftline.yaml"
    postgres = monitored_store.postgres.model_dump(mode="json", exclude_none=True)
    path.write_text(yaml.safe_dump({"postgres": postgres}))
    return path


def test_serves_until_it_is_interrupted(settings: Path) -> None:
    port = ports.choose()
    command = [*COMMAND, "--port", str(port), "--config", str(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        address = running.stdout.readline().split()[0]
        assert address.startswith(f"http://127.0.0.1:{port}/?token=")
        for attempt in Retrying(
            stop=stop_after_delay(120),
            wait=wait_fixed(0.3),
            retry=retry_if_exception_type(httpx.TransportError),
        ):
            with attempt:
                found = httpx.get(address.replace("/?", "/api/dashboards?"))
        assert found.status_code == 303
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as browser:
            browser.get(address)
            found = browser.get("/api/dashboards")
        assert found.json()[0]["title"] == "driftline · Fleet"
        running.send_signal(signal.SIGINT)
        assert running.wait(60) in (0, 130)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_early_ends_it(settings: Path, number: signal.Signals) -> None:
    """It hears one whatever it is at, and its exit code names it."""
    command = [*COMMAND, "--port", str(ports.choose()), "--config", str(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        running.stdout.readline()
        running.send_signal(number)
        assert running.wait(60) == 128 + number


def test_a_taken_port_is_said(settings: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [*COMMAND, "--port", str(port), "--config", str(settings)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert f"can't listen on port {port}: Address already in use: choose another" in done.stderr
