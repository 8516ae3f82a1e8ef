"""Run the preview on loopback until it is stopped."""

import contextlib
import html
import queue
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import uvicorn

from driftline.config import Config
from driftline.dashboards.preview import access
from driftline.dashboards.preview.reader import Reader
from driftline.dashboards.preview.server import HOST, Preview
from driftline.errors import ServiceError
from driftline.signals import stops_on_signals


def serve(config: Config, port: int, token: str, *, browse: bool = False) -> NoReturn:
    """Serve until Ctrl-C or SIGTERM.

    Parameters:
        token: required for access, see `Access`.
        browse: open a browser on this machine.

    Raises:
        ServiceError: the port is in use, or the database is unavailable.
    """
    with contextlib.closing(Reader(config.local_postgres())) as reader:
        reader.run("SELECT 1")  # fail immediately if the database is unavailable
    received: queue.SimpleQueue[int] = queue.SimpleQueue()  # `put` is reentrant
    with (
        stops_on_signals(received.put),
        served(config, token, port) as address,
        tempfile.TemporaryDirectory() as private,
    ):
        if browse:
            webbrowser.open(_redirect_page(Path(private), access.link(address, token)))
        number = received.get()
    sys.exit(128 + number)


@contextlib.contextmanager
def served(config: Config, token: str, port: int = 0) -> Iterator[str]:
    """Run a preview in a thread; yields its URL.

    Parameters:
        token: required for access, see `Access`.
        port: 0 for any free port.

    Raises:
        ServiceError: the port is in use.
    """
    preview = Preview(config)
    with _listening(port) as listener, contextlib.closing(preview.reader):
        server = _server(preview, token)
        thread = threading.Thread(target=server.run, args=[[listener]], daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def _redirect_page(folder: Path, link: str) -> str:
    """A private file that redirects to the link: all users can see a browser's arguments."""
    page = folder / "preview.html"
    page.write_text(f'<meta http-equiv="refresh" content="0; url={html.escape(link)}">')
    return page.as_uri()


def _server(preview: Preview, token: str) -> uvicorn.Server:
    config = uvicorn.Config(
        preview.app(token), log_level="warning", access_log=False, timeout_graceful_shutdown=2
    )
    return uvicorn.Server(config)


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise ServiceError(
                f"can't listen on port {port}: {error.strerror}: choose another with --port"
            ) from None
        listener.listen(64)
        yield listener
