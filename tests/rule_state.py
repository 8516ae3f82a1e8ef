"""A server that says when Grafana evaluated its rules, or whatever it is told to say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback import serving


@dataclass
class Answer:
    """What the server says, and what it was asked."""

    status: int = 200
    content: Any = None
    asked: str | None = None
    url: str = ""


def rules(name: str, age: timedelta) -> Any:
    """A rule that was evaluated so long ago."""
    time = (datetime.now(UTC) - age).isoformat().replace("+00:00", "Z")
    return {"data": {"groups": [{"rules": [{"name": name, "lastEvaluation": time}]}]}}


@contextmanager
def answering() -> Iterator[Answer]:
    """The server on loopback; gone at the end."""
    said = Answer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said.asked = f"{self.path} {self.headers['Authorization']}"
            self.send_response(said.status)
            self.end_headers()
            self.wfile.write(json.dumps(said.content).encode())

    with serving(Handler) as said.url:
        yield said
