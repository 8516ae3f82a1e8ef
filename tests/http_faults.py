"""Faults between an HTTP client and a model server, answer by answer."""

import json
import socket
import ssl
import struct
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.loopback import serving

#: What becomes of one request: gets the handler, the server's status and its answer.
Fault = Callable[["Handler", int, bytes], None]


@dataclass
class FaultyServer:
    """What stands between: the next requests meet `faults`, one each; the rest pass.

    Attributes:
        target: address of the real server; "" when each request meets a fault.
        faults: used up from the front.
        always: meets every request that no other fault is left for.
        requests: method, path, headers and body of each request.
        metadata: what a GET of `/metadata` is given; None asks the real server.
    """

    target: str
    faults: list[Fault] = field(default_factory=list)
    always: Fault | None = None
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def predictions(self) -> list[str]:
        """The paths that were asked to predict."""
        return [path for method, path, _, _ in self.requests if method == "POST"]


class Handler(BaseHTTPRequestHandler):
    """Passes a request on, and its answer back, unless a fault takes it."""

    faulty: FaultyServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Metadata, or what the real server says."""
        self._handle("GET", b"")

    def do_POST(self) -> None:
        """A prediction."""
        self._handle("POST", self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _handle(self, method: str, body: bytes) -> None:
        with self.faulty.lock:
            self.faulty.requests.append((method, self.path, _titled(dict(self.headers)), body))
            faults = self.faulty.faults
            fault = None
            if method == "POST":
                fault = faults.pop(0) if faults else self.faulty.always
        if method == "GET" and self.faulty.metadata is not None:
            self.answer(200, json.dumps(self.faulty.metadata).encode())
            return
        status, content = self._pass_on(method, body) if self.faulty.target else (503, b"")
        if fault is None:
            self.answer(status, content)
        else:
            fault(self, status, content)

    def _pass_on(self, method: str, body: bytes) -> tuple[int, bytes]:
        # the real server here has one version and no labels
        model, _, verb = self.path.partition(":")
        path = "/".join(model.split("/")[:4]) + (f":{verb}" if verb else "")
        if self.path.endswith("/metadata"):
            path = self.path
        request = urllib.request.Request(  # noqa: S310 - loopback
            self.faulty.target + path,
            data=body or None,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(request, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def _titled(headers: Mapping[str, str]) -> dict[str, str]:
    """One spelling: names of headers have no case."""
    return {name.title(): value for name, value in headers.items()}


@contextmanager
def between(target: str, tls: ssl.SSLContext | None = None) -> Iterator[FaultyServer]:
    """A proxy on loopback before a model server."""
    faulty = FaultyServer(target)
    handler = type("BoundHandler", (Handler,), {"faulty": faulty})
    with serving(handler, tls) as faulty.url:
        yield faulty


def status(code: int, text: str = "not now", **headers: str) -> Fault:
    """Another status instead; `Retry_After="1"` is the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _, __: handler.answer(code, text.encode(), named)


def body(change: Callable[[Any], Any]) -> Fault:
    """The server's JSON, changed."""
    return lambda handler, code, content: handler.answer(
        code, json.dumps(change(json.loads(content))).encode()
    )


def slow(seconds: float) -> Fault:
    """The answer, too late."""

    def wait(handler: Handler, code: int, content: bytes) -> None:
        time.sleep(seconds)
        handler.answer(code, content)

    return wait


def reset(handler: Handler, _: int, __: bytes) -> None:
    """The connection ends hard, without an answer."""
    linger = struct.pack("ii", 1, 0)
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.close_connection = True
    handler.connection.close()
    handler.wfile = handler.rfile = socket.SocketIO(socket.socket(), "rwb")  # type: ignore[assignment]


def half(handler: Handler, code: int, content: bytes) -> None:
    """Half of the bytes that were announced, then the end."""
    handler.send_response(code)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.close_connection = True


def half_whole(handler: Handler, code: int, content: bytes) -> None:
    """Half of the JSON as if it were all."""
    handler.answer(code, content[: len(content) // 2])
