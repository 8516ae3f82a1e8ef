"""How much of a request the preview reads."""

import socket
from urllib.parse import urlsplit

from driftline import names
from driftline.config import Config, Postgres
from driftline.dashboards.preview.serve import served


def test_a_body_without_a_length_is_refused_while_it_is_sent() -> None:
    """Chunks of more than the limit, and no end: whoever reads on waits for ever."""
    config = Config(postgres=Postgres(host="127.0.0.1"))
    chunk = b"%x\r\n%s\r\n" % (60_000, b" " * 60_000)
    head = (
        f"POST /api/d/{names.FLEET_UID}/panel HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Authorization: Bearer token\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n"
    )
    with served(config, "token") as address:
        port = urlsplit(address).port
        with socket.create_connection(("127.0.0.1", port or 0), timeout=30) as client:
            client.sendall(head.encode() + chunk * 2)
            answer = client.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"at most 100000 bytes are accepted" in answer
