"""Free loopback ports, chosen once and kept."""

import secrets
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

LOOPBACK = "127.0.0.1"
_LOWEST = 15000
_PATIENCE = 10.0  # seconds for the kernel to close the sockets of a killed server


def is_free(port: int) -> bool:
    """Whether a server could listen on a loopback port now."""
    with socket.socket() as probe:
        # Servers set this too: a port whose last connections are in TIME_WAIT is free to them.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def choose(taken: Iterable[int] = ()) -> int:
    """A free loopback port that is not among `taken`.

    It is below the range that the kernel gives to outgoing connections: one of those could take
    the port while its server is down, even a client that tries to reach that very server.
    """
    avoid = set(taken)
    candidates = range(_LOWEST, _ephemeral())
    while True:
        port = secrets.choice(candidates)
        if port not in avoid and is_free(port):
            return port


def assign(
    previous: dict[str, int], names: Iterable[str], say: Callable[[str], None]
) -> dict[str, int]:
    """Ports for `names`: those of the last run, or a new one if another program took it.

    Parameters:
        previous: ports by name, of all services.
        names: names of the ports of a service that is not running.
        say: called with a message for each port that had to change.
    """
    ports = dict(previous)
    for name in names:
        old = ports.get(name)
        if old is not None and _comes_free(old):
            continue
        ports[name] = choose(ports.values())
        if old is not None:
            say(f"port {old} of {name} is taken by another program, using {ports[name]}")
    return ports


def _comes_free(port: int) -> bool:
    """Whether a port is free, or soon will be: a killed server ends thread by thread."""
    until = time.monotonic() + _PATIENCE
    while not is_free(port):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _ephemeral() -> int:
    text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    return max(int(text.split()[0]), _LOWEST + 5000)
