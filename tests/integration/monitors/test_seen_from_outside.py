"""A runner as Prometheus and a dead man's switch see it, over HTTP."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from driftline.config import Config
from driftline.config.types import Secret
from driftline.monitors.running.heartbeat import Heartbeat
from driftline.services import ports
from tests.integration.monitors.conftest import Stream
from tests.integration.monitors.running import start, wait_for
from tests.loopback import serving

PATH = "/ping/5ecret"


@dataclass
class Switch:
    """A server that answers pings with `status`."""

    requests: list[str] = field(default_factory=list)
    status: int = 200
    url: str = ""

    def address(self, folder: Path) -> Secret:
        path = folder / "switch"
        path.write_text(f"{self.url}{PATH}\n")
        return Secret(file=path)


@pytest.fixture
def switch() -> Iterator[Switch]:
    created = Switch()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            created.requests.append(self.path)
            self.send_response(created.status)
            self.end_headers()

    with serving(Handler) as created.url:
        yield created


def seen(config: Config, heartbeat: Secret, port: int) -> Config:
    runner = config.runner.model_copy(update={"heartbeat_url": heartbeat, "metrics_port": port})
    return config.model_copy(update={"runner": runner})


def metrics(port: int) -> dict[str, float]:
    """The current /metrics; empty while the server does not answer."""
    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=5).raise_for_status()
    except httpx.HTTPError:
        return {}
    lines = (line for line in answer.text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_a_runner_is_counted_and_pings_only_after_good_rounds(
    make_stream: Any, switch: Switch, tmp_path: Path
) -> None:
    stream: Stream = make_stream()
    for hour in range(3):
        stream.hour(hour)
    port = ports.choose()
    stream.sql("ALTER TABLE driftline.verdict RENAME TO away")
    process = start(seen(stream.config, switch.address(tmp_path), port), tmp_path)
    try:
        wait_for(lambda: metrics(port).get("driftline_monitor_errors_total", 0) >= 2)
        assert switch.requests == []
        assert metrics(port)["driftline_monitor_heartbeat_timestamp_seconds"] == 0
        stream.sql("ALTER TABLE driftline.away RENAME TO verdict")
        wait_for(lambda: switch.requests)
        now = metrics(port)
    finally:
        process.terminate()
        assert process.wait(60) == 0
    assert switch.requests == [PATH]
    assert now["driftline_windows_judged_total"] >= 2
    assert now["driftline_monitor_models"] == now["driftline_monitor_shards"] == 1
    assert now["driftline_monitor_round_seconds_count"] >= 3
    (log,) = (path.read_text() for path in tmp_path.glob("runner-*.log"))
    assert "5ecret" not in log


def test_metrics_are_on_loopback_only(make_stream: Any, switch: Switch, tmp_path: Path) -> None:
    stream: Stream = make_stream()
    port = ports.choose()
    process = start(seen(stream.config, switch.address(tmp_path), port), tmp_path)
    try:
        wait_for(lambda: metrics(port))
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", port), timeout=5)
    finally:
        process.terminate()
        process.wait(60)


def test_a_switch_that_fails_is_asked_again_and_named_nowhere(
    switch: Switch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    switch.status = 500
    heart = Heartbeat(switch.address(tmp_path))
    heart.beat()
    heart.beat()  # too soon after the last one
    assert heart._thread is not None
    heart._thread.join(60)
    assert switch.requests == [PATH] * 3
    assert "the dead man's switch did not answer (HTTPStatusError)" in caplog.text
    assert "5ecret" not in caplog.text
    assert switch.url.rpartition(":")[2] not in caplog.text
