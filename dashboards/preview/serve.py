"""Running the preview: on loopback, until it is stopped."""

import contextlib
import html
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from dashboards.preview import access
from dashboards.preview.server import HOST, Preview
from driftline.config import Config
from driftline.errors import ServiceError


def serve(config: Config, port: int, token: str, *, browse: bool = False) -> None:
    """Serve until Ctrl-C.

    Parameters:
        token: lets in, see `Access`.
        browse: open the machine's browser.

    Raises:
        ServiceError: the port is taken, or the database is away.
    """
    with _listening(port) as listener, tempfile.TemporaryDirectory() as private:
        preview = Preview(config)
        preview.reader.run("SELECT 1")  # to say at once what is missing
        if browse:
            opened = _opener(Path(private), access.link(address(listener), token))
            threading.Timer(0.5, webbrowser.open, [opened]).start()
        _server(preview, token).run(sockets=[listener])
        preview.reader.close()


@contextlib.contextmanager
def served(config: Config, token: str, port: int = 0) -> Iterator[str]:
    """The address of a preview that runs beside the caller.

    Parameters:
        token: lets in, see `Access`.
        port: 0 for any that is free.
    """
    with _listening(port) as listener:
        preview = Preview(config)
        server = _server(preview, token)
        thread = threading.Thread(target=server.run, args=[[listener]], daemon=True)
        thread.start()
        try:
            yield address(listener)
        finally:
            server.should_exit = True
            thread.join(10)
            preview.reader.close()


def address(listener: socket.socket) -> str:
    """Where it listens."""
    return f"http://{HOST}:{listener.getsockname()[1]}"


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
