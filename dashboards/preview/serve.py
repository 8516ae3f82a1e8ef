"""Running the preview: on loopback, until it is stopped."""

import contextlib
import socket
import threading
import webbrowser
from collections.abc import Iterator

import uvicorn

from dashboards.preview.server import HOST, Preview
from driftline.config import Config
from driftline.errors import ServiceError


def serve(config: Config, port: int, *, browse: bool = False) -> None:
    """Serve until Ctrl-C.

    Parameters:
        browse: open the machine's browser.

    Raises:
        ServiceError: the port is taken, or the database is away.
    """
    with _listening(port) as listener:
        preview = Preview(config)
        preview.reader.run("SELECT 1")  # to say at once what is missing
        if browse:
            threading.Timer(0.5, webbrowser.open, [address(listener)]).start()
        _server(preview).run(sockets=[listener])
        preview.reader.close()


@contextlib.contextmanager
def served(config: Config, port: int = 0) -> Iterator[str]:
    """The address of a preview that runs beside the caller.

    Parameters:
        port: 0 for any that is free.
    """
    with _listening(port) as listener:
        preview = Preview(config)
        server = _server(preview)
        thread = threading.Thread(target=server.run, args=[[listener]], daemon=True)
        thread.start()
        try:
            yield address(listener)
        finally:
            server.should_exit = True
            thread.join(10)
            preview.reader.close()


def address(listener: socket.socket) -> str:
    """What to type into a browser."""
    return f"http://{HOST}:{listener.getsockname()[1]}"


def _server(preview: Preview) -> uvicorn.Server:
    quiet = uvicorn.Config(
        preview.app(), log_level="warning", access_log=False, timeout_graceful_shutdown=2
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
