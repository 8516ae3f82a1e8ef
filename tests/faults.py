"""Faults of the network between a client and PostgreSQL, made at the worst moments."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self

_QUERY = b"Q"
_COMMIT = b"COMMIT"


class CuttingProxy:
    """A TCP proxy on loopback that cuts connections when the client's COMMIT passes.

    It reads PostgreSQL's own protocol as far as a message's type and length, on connections
    without TLS (it answers a request for TLS as the server does: by passing it on).

    Parameters:
        target_host, target_port: the real server.

    Attributes:
        port: where it listens, on 127.0.0.1.
        cuts: how many connections it has cut at a COMMIT.

    Used as a context manager; leaving it cuts everything.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self._target = (target_host, target_port)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._to_cut = 0
        self._after_forwarding = False
        self.cuts = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut_at_commit(self, times: int, *, after_forwarding: bool) -> None:
        """Cut the next connections that send COMMIT.

        Parameters:
            times: how many of them.
            after_forwarding: whether the server gets the COMMIT first: then it commits, and the
                client never hears of it. Otherwise the server rolls back.
        """
        with self._lock:
            self._to_cut = times
            self._after_forwarding = after_forwarding

    def cut_all(self) -> None:
        """Cut every connection now."""
        with self._lock:
            sockets = list(self._open)
        for one in sockets:
            _shut(one)

    def close(self) -> None:
        """Take no more connections, and cut those that are there."""
        _shut(self._listener)
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(self._target) as server,
        ):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            back = threading.Thread(target=_pump, args=(server, client), daemon=True)
            back.start()
            try:
                self._forward(client, server)
            finally:
                with self._lock:
                    self._open -= {client, server}
                _shut(client)
                _shut(server)
                back.join()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        """Pass messages on one by one, until a COMMIT that is to be cut."""
        for kind, message in _messages(client):
            if not (kind == _QUERY and message[5:].strip(b"\0 ;").upper() == _COMMIT):
                server.sendall(message)
                continue
            cut, after = self._take_cut()
            if cut:
                _shut(client)  # first: the server's answer must not reach it
            if after or not cut:
                server.sendall(message)
            if cut:
                _finish(server)
                return

    def _take_cut(self) -> tuple[bool, bool]:
        with self._lock:
            cut = self._to_cut > 0
            if cut:
                self._to_cut -= 1
                self.cuts += 1
            return cut, self._after_forwarding


def _messages(client: socket.socket) -> Iterator[tuple[bytes, bytes]]:
    """What a client sends, message by message; the ones before the login have no type."""
    stream = client.makefile("rb")
    started = False
    while True:
        head = stream.read(4 if not started else 5)
        if len(head) < (4 if not started else 5):
            return
        size = int.from_bytes(head[-4:], "big")
        message = head + stream.read(size - 4)
        yield (head[:1] if started else b""), message
        # a request for TLS or GSS comes before the real start-up message, whose version is 3
        started = started or message[4:6] == b"\0\3"


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    _shut(sink)


def _finish(server: socket.socket) -> None:
    """Say goodbye, and wait until the server has done what it was asked."""
    server.sendall(b"X\0\0\0\4")
    server.shutdown(socket.SHUT_WR)
    while server.recv(65_536):
        pass


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
