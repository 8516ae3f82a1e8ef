"""The attacks find what is open, or the tests that use them would prove nothing."""

import http.server
import os
import socket
import subprocess
import threading
from functools import partial
from pathlib import Path

from py4j.java_gateway import find_jar_path

from tests import attacks


def test_an_open_server_is_found() -> None:
    handler = http.server.BaseHTTPRequestHandler
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        assert ("127.0.0.1", port) in attacks.listening([os.getpid()])
        doors = attacks.as_another_user(lambda: attacks.open_doors([port], [], os.geteuid()))
        server.shutdown()
    start = f"Flink's REST at port {port} answers"
    assert any(door.startswith(start) and "HTTP/1." in door for door in doors)


def test_an_open_gateway_is_found() -> None:
    command = ["java", "-cp", find_jar_path(), "py4j.GatewayServer", "--die-on-broken-pipe", "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        doors = attacks.as_another_user(partial(attacks.open_doors, [port], [], os.geteuid()))
        server.terminate()
    assert any(door.startswith(f"py4j at port {port} answers b'!y") for door in doors), doors


def test_what_another_user_may_read_is_found(tmp_path: Path) -> None:
    for name, mode in (("open", 0o755), ("closed", 0o700)):
        folder = tmp_path / name
        folder.mkdir(mode=mode)
        (folder / "file").write_text("text")
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "socket"))
            (folder / "socket").chmod(0o777)
            server.listen()
            doors = attacks.as_another_user(partial(attacks.open_doors, [], ["socket"], -1), folder)
        found = attacks.as_another_user(partial(attacks.readable, "."), folder)
        closed = name == "closed" and os.geteuid() == 0  # nobody else can be tried without root
        assert found == ([] if closed else ["file", "socket"])
        assert doors == ([] if closed else ["the socket socket lets another user in"])
    assert len(attacks.files_with(["text"], tmp_path)) == 2
