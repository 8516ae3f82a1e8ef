import socket
import threading
from pathlib import Path

import pytest

from driftline.services import ports


def listen(port: int) -> socket.socket:
    server = socket.socket()
    server.bind((ports.LOOPBACK, port))
    server.listen()
    return server


def test_a_chosen_port_is_free_new_and_no_outgoing_connection_takes_it() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    chosen: list[int] = []
    for _ in range(50):
        chosen.append(ports.choose(chosen))
    assert len(set(chosen)) == 50
    assert all(ports.is_free(port) for port in chosen)
    assert max(chosen) < max(lowest, 20000)


def test_a_port_with_a_server_is_not_free() -> None:
    port = ports.choose()
    with listen(port):
        assert not ports.is_free(port)
    assert ports.is_free(port)


def test_kept_ports_stay() -> None:
    said: list[str] = []
    first = ports.assign({}, ["kafka", "controller"], said.append)
    assert ports.assign(first, ["kafka", "controller"], said.append) == first
    assert said == []


def test_a_killed_server_may_take_its_time_to_let_go_of_its_port() -> None:
    said: list[str] = []
    kept = ports.assign({}, ["kafka"], said.append)
    dying = listen(kept["kafka"])
    threading.Timer(0.3, dying.close).start()
    assert ports.assign(kept, ["kafka"], said.append) == kept
    assert said == []


def test_a_taken_port_is_replaced_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_PATIENCE", 0.1)
    said: list[str] = []
    kept = ports.assign({"other": 1}, ["kafka"], said.append)
    with listen(kept["kafka"]):
        assigned = ports.assign(kept, ["kafka"], said.append)
    assert assigned["kafka"] != kept["kafka"]
    assert assigned["other"] == 1
    assert said == [
        f"port {kept['kafka']} of kafka is taken by another program, using {assigned['kafka']}"
    ]
