"""What another user of the machine tries against a running job, and where secrets may be found."""

import contextlib
import json
import os
import pwd
import socket
import ssl
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

_LOOPBACK = ("127.", "::1", "::ffff:127.")
_SECONDS = 5.0
_HTTP = b"GET /jobmanager/config HTTP/1.1\r\nHost: localhost\r\n\r\n"
#: What each protocol's server would answer to, were it open.
PROBES = {
    "Flink's REST": _HTTP,
    "py4j": b"r\nu\njava\nrj\ne\n",
    "py4j with a wrong token": b"A\nAAAA\ne\nr\nu\njava\nrj\ne\n",
    "gRPC": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]),
    "Flink's blob server": bytes([1]) + bytes(40),
}
#: A TLS alert; py4j's errors; Flink's way from HTTP to HTTPS.
_REFUSALS = (bytes([21]), b"!x", b"!z", b"HTTP/1.1 301 Moved Permanently\r\nlocation: https:")


def listening(pids: Iterable[int]) -> list[tuple[str, int]]:
    """The addresses at which these processes wait for TCP connections."""
    return [
        (found.laddr.ip, found.laddr.port)
        for pid in pids
        for found in psutil.Process(pid).net_connections(kind="tcp")
        if found.status == psutil.CONN_LISTEN
    ]


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    return address.startswith(_LOOPBACK)


def unix_sockets(folder: Path) -> list[Path]:
    """The Unix sockets below a folder."""
    return [path for path in below(folder) if path.is_socket()]


def below(folder: Path) -> Iterator[Path]:
    """The files below a folder of which some come and go meanwhile; `rglob` would raise."""
    for parent, _, names in os.walk(folder):
        for name in names:
            yield Path(parent, name)


def as_another_user(attack: Callable[[], Any], folder: Path | None = None) -> Any:
    """What an attack gives to user `nobody`; without root's rights, to this user.

    Parameters:
        attack: gives what JSON can carry; it runs in a fork.
        folder: in which it stands, so that closed folders above are no protection.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chdir(folder or "/")
            if os.geteuid() == 0:
                nobody = pwd.getpwnam("nobody")
                os.setgroups([])
                os.setgid(nobody.pw_gid)
                os.setuid(nobody.pw_uid)
            os.write(writer, json.dumps(attack()).encode())
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        found = answers.read()
    assert os.waitpid(child, 0)[1] == 0, "the attack itself has failed"
    return json.loads(found)


def open_doors(ports: Iterable[int], sockets: Iterable[str], owner: int) -> list[str]:
    """What answers anything but a refusal, to somebody without a key.

    Parameters:
        sockets: paths of Unix sockets.
        owner: the id of the user who may connect to them.
    """
    doors = []
    for port in ports:
        for name, probe in PROBES.items():
            answer = _ask(port, probe)
            if answer and not answer.startswith(_REFUSALS):
                doors.append(f"{name} at port {port} answers {answer[:120]!r}")
        answer = _ask_over_tls(port)
        if answer:
            doors.append(f"TLS without a certificate at port {port} answers {answer[:120]!r}")
    for path in sockets:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(path)
            except OSError:
                continue
            if os.geteuid() != owner:
                doors.append(f"the socket {path} lets another user in")
    return doors


def readable(folder: str) -> list[str]:
    """The files below a folder that can be read."""
    return [str(path) for path in below(Path(folder)) if os.access(path, os.R_OK)]


def process_list() -> str:
    """Command lines, and what may be read of environments, of all processes."""
    texts = []
    for pid in psutil.pids():
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                texts.append(Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace"))
    return "\n".join(texts)


def files_with(values: Iterable[str], folder: Path) -> list[Path]:
    """The files below a folder in which one of the values stands."""
    wanted = [value.encode() for value in values]
    found = []
    for path in below(folder):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                content = path.read_bytes()
                if any(value in content for value in wanted):
                    found.append(path)
    return found


def _ask(port: int, probe: bytes) -> bytes:
    with (
        contextlib.suppress(ConnectionError),  # its process has ended
        socket.create_connection(("127.0.0.1", port), _SECONDS) as client,
    ):
        return _exchange(client, probe)
    return b""


def _ask_over_tls(port: int) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError):
        plain = socket.create_connection(("127.0.0.1", port), _SECONDS)
        with plain, context.wrap_socket(plain) as client:
            return _exchange(client, _HTTP)
    return b""


def _exchange(client: socket.socket, probe: bytes) -> bytes:
    client.settimeout(1.0)
    with contextlib.suppress(OSError):
        client.sendall(probe)
        return client.recv(4096)
    return b""
