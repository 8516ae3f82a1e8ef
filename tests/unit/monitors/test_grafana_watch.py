"""Grafana tells people only while it evaluates driftline's rules."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from driftline import names
from driftline.config import Config
from driftline.grafana import Grafana
from driftline.settings import Secret
from monitors.alerts.grafana_watch import GrafanaWatch


class Answer:
    """What the server says, and what it was asked."""

    status = 200
    content: Any = None
    asked: str | None = None


@pytest.fixture
def answer() -> Iterator[tuple[Answer, str]]:
    said = Answer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said.asked = f"{self.path} {self.headers['Authorization']}"
            self.send_response(said.status)
            self.end_headers()
            self.wfile.write(json.dumps(said.content).encode())

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield said, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def rules(name: str, age: timedelta) -> Any:
    time = (datetime.now(UTC) - age).isoformat().replace("+00:00", "Z")
    return {"data": {"groups": [{"rules": [{"name": name, "lastEvaluation": time}]}]}}


def delivers(url: str, folder: Path) -> bool:
    token = folder / "token"
    token.write_text("t0ken")
    return GrafanaWatch(Config(grafana=Grafana(url=url, token=Secret(file=token)))).delivers()


def test_it_lives_has_stopped_or_is_away(answer: tuple[Answer, str], tmp_path: Path) -> None:
    said, url = answer
    said.content = rules(names.GRAFANA_HEARTBEAT, timedelta(seconds=30))
    assert delivers(url, tmp_path)
    assert said.asked == "/api/prometheus/grafana/api/v1/rules Bearer t0ken"
    said.content = rules(names.GRAFANA_HEARTBEAT, timedelta(minutes=30))
    assert not delivers(url, tmp_path)
    said.content = rules("another rule", timedelta(0))
    assert not delivers(url, tmp_path)
    said.content = {"message": "odd"}
    assert not delivers(url, tmp_path)
    said.status = 500
    assert not delivers(url, tmp_path)


def test_none_is_configured() -> None:
    assert not GrafanaWatch(Config()).delivers()
