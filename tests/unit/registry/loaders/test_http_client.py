"""The client of a model server on real connections: TLS, Retry-After, the circuit breaker."""

import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from driftline.config import TensorFlowServing
from driftline.errors import ServiceError
from driftline.registry.loaders.http_client import HttpClient, RequestRejectedError
from tests import http_faults
from tests.certificates import certificate, written
from tests.http_faults import FaultyServer, Handler

GOOD = http_faults.status(200, '{"outputs": 1}')


@pytest.fixture
def faulty() -> Iterator[FaultyServer]:
    with http_faults.between("") as server:
        yield server


def connect(url: str, **more: Any) -> HttpClient:
    settings = {"url": url, "timeout": "5 s", "retry_for": "30 s", **more}
    return HttpClient(TensorFlowServing.model_validate(settings))


class Arrivals:
    """A fault that notes when requests come, and lets another one answer."""

    def __init__(self, *faults: http_faults.Fault) -> None:
        self.times: list[float] = []
        self.faults = list(faults)
        self.last = faults[-1]

    def __call__(self, handler: Handler, status: int, content: bytes) -> None:
        self.times.append(time.monotonic())
        fault = self.faults.pop(0) if self.faults else self.last
        fault(handler, status, content)

    def gaps(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


def test_it_waits_as_long_as_the_server_asks(faulty: FaultyServer) -> None:
    faulty.always = arrivals = Arrivals(http_faults.status(429, Retry_After="1.5"), GOOD)
    server = connect(faulty.url)
    assert server.post("/p", b"{}") == {"outputs": 1}
    (gap,) = arrivals.gaps()
    assert gap >= 1.5  # its own first wait is at most 0.1 s
    server.close()


def test_many_threads_ask_a_server_that_is_away_one_at_a_time(faulty: FaultyServer) -> None:
    """The breaker opens after 5 failures, lets one ask each second, and closes with an answer."""
    faulty.always = arrivals = Arrivals(http_faults.status(503))
    server = connect(faulty.url)
    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(server.post, "/p", b"{}") for _ in range(8)]
        while len(arrivals.times) < 8 + 5 + 2:  # at most 8 were on their way when it opened
            time.sleep(0.05)
        assert min(arrivals.gaps()[-2:]) >= 0.9
        arrivals.last = GOOD
        assert [answer.result(60) for answer in answers] == [{"outputs": 1}] * 8

    both = threading.Barrier(2)

    def with_another(handler: Handler, status: int, content: bytes) -> None:
        both.wait(60)
        GOOD(handler, status, content)

    faulty.always = with_another
    with ThreadPoolExecutor(2) as threads:  # closed: two ask at once
        together = [threads.submit(server.post, "/p", b"{}") for _ in range(2)]
        assert [answer.result(60) for answer in together] == [{"outputs": 1}] * 2
    server.close()


def test_tls_with_an_authority_and_a_certificate_of_ones_own(tmp_path: Path) -> None:
    authority = certificate("authority")
    ca_file = written(tmp_path, "authority", authority)["certificate_file"]
    own = written(tmp_path, "server", certificate("server", authority))
    client = written(tmp_path, "client", certificate("client", authority))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own["certificate_file"], own["key_file"])
    context.load_verify_locations(ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    with http_faults.between("", context) as faulty:
        faulty.always = GOOD
        trusted = connect(faulty.url, ca_file=ca_file, **client)
        assert trusted.post("/p", b"{}") == {"outputs": 1}
        trusted.close()
        unknown = connect(faulty.url, retry_for="1 s", ca_file=ca_file)
        with pytest.raises(ServiceError, match="gave no valid response within 1 s"):
            unknown.post("/p", b"{}")
        unknown.close()
        distrusting = connect(faulty.url, retry_for="1 s", **client)
        with pytest.raises(ServiceError, match="its certificate is not trusted"):
            distrusting.post("/p", b"{}")
        distrusting.close()
        assert len(faulty.requests) == 1
    with pytest.raises(ServiceError, match="can't read the certificates of registry"):
        connect("https://127.0.0.1", ca_file=str(tmp_path / "none.pem"))


def test_a_refusal_that_repeats_the_login_hides_it(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVING_TOKEN", "Bearer hunter2")
    faulty.always = http_faults.status(401, "no account has the token hunter2")
    server = connect(faulty.url, headers={"Authorization": {"env": "SERVING_TOKEN"}})
    with pytest.raises(ServiceError, match=r"401 no account has the token \*\*\*"):
        server.post("/p", b"{}")
    server.close()


def test_a_login_that_is_empty_hides_nothing(
    faulty: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVING_KEY", "")
    faulty.always = http_faults.status(400, "bad shape")
    server = connect(faulty.url, headers={"X-Api-Key": {"env": "SERVING_KEY"}})
    with pytest.raises(RequestRejectedError, match="400 bad shape"):
        server.post("/p", b"{}")
    server.close()
