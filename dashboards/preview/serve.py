"""Running the preview: on loopback, until it is stopped."""

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
        token: lets in, see `Access`.
        browse: open the machine's browser.

    Raises:
        ServiceError: the port is taken, or the database is away.
    """
    with contextlib.closing(Reader(config.local_postgres())) as reader:
        reader.run("SELECT 1")  # to say at once what is missing
    received: queue.SimpleQueue[int] = queue.SimpleQueue()  # its `put` may interrupt itself
    with (
        stops_on_signals(received.put),
        served(config, token, port) as address,
        tempfile.TemporaryDirectory() as private,
    ):
        if browse:
            webbrowser.open(_opener(Path(private), access.link(address, token)))
        number = received.get()
    sys.exit(128 + number)


@contextlib.contextmanager
def served(config: Config, token: str, port: int = 0) -> Iterator[str]:
    """The address of a preview that runs beside the caller.

    Parameters:
        token: lets in, see `Access`.
        port: 0 for any that is free.

    Raises:
        ServiceError: the port is taken.
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


def _opener(folder: Path, link: str) -> str:
    """A page of the user's own that leads to the link: the list of processes shows it to all."""
    page = folder / "preview.html"
    page.write_text(f'<meta http-equiv="refresh" content="0; url={html.escape(link)}">')
    return page.as_uri()


def _server(preview: Preview, token: str) -> uvicorn.Server:
    quiet = uvicorn.Config(
        preview.app(token), log_level="warning", access_log=False, timeout_graceful_shutdown=2
    )
    return uvicorn.Server(quiet)


@contextlib.contextmanager
def _listening(port: int) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise ServiceError(
                f"can't listen on port {port}: {error.strerror}: name another with --port"
            ) from None
        listener.listen(64)
        yield listener
