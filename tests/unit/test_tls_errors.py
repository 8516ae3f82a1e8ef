"""Each client tells a server whose authority it does not know from one that is not there."""

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from driftline import doctor
from driftline.config import Config, Kafka, Mlflow, Postgres
from driftline.config.grafana import Grafana
from driftline.config.types import Secret
from driftline.dashboards.sync import extra_calls
from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.errors import ServiceError
from driftline.kafka import topic as topic_module
from driftline.kafka.client_settings import topics
from driftline.kafka.topic import Topic
from driftline.monitors.alerts.deliver import send
from driftline.monitors.alerts.grafana_delivery import GrafanaDelivery
from driftline.monitors.running.heartbeat import Heartbeat
from driftline.registry import client as registry
from driftline.storage.connection import connect
from driftline.storage.monitoring.notifications import Message
from tests.certificates import certificate, server_context, written
from tests.loopback import serving

TOKEN = "Qx7hunter2Zk"


@dataclass(frozen=True)
class Secured:
    """A server over TLS.

    Attributes:
        address: where it is.
        right, wrong: PEM files of its authority, and of another one.
        tls: its own side.
    """

    address: str
    right: Path
    wrong: Path
    tls: ssl.SSLContext

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0


class Answers(BaseHTTPRequestHandler):
    """Grafana's version to whoever asks."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"version": "11.4.0", "database": "ok"}')


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("certificates")
    authority = certificate("authority")
    tls = server_context(folder, "server", authority)
    right, wrong = (
        Path(written(folder, name, pair)["certificate_file"])
        for name, pair in (("right", authority), ("wrong", certificate("stranger")))
    )
    with serving(Answers, tls) as address:
        yield Secured(address, right, wrong, tls)


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", TOKEN)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def grafana(secured: Secured, **settings: Any) -> Grafana:
    section = {"url": secured.address, "token": {"env": "TOKEN"}, **settings}
    return Grafana.model_validate(section)


def test_grafana(secured: Secured) -> None:
    def trusting(ca_file: Path | None) -> Server:
        return Server(grafana(secured, ca_file=ca_file))

    assert trusting(secured.right).version == (11, 4)
    for ca_file in (secured.wrong, None):
        server = trusting(ca_file)
        with pytest.raises(GrafanaError) as error:
            server.call("read the version", extra_calls.version)
        assert str(error.value).startswith(
            f"can't read the version: Grafana at '{secured.address}': its certificate is not "
            "trusted ("
        )
        assert str(error.value).endswith(": set grafana.ca_file to its authority's PEM file")
        assert server.requests == 1  # another try would not change it


def test_a_file_of_authorities_that_is_not_there(secured: Secured) -> None:
    server = Server(grafana(secured, ca_file="/none.pem"))
    with pytest.raises(GrafanaError, match=r"can't read the certificates: .*see grafana.ca_file$"):
        server.call("read the version", extra_calls.version)


def test_a_server_without_tls(secured: Secured) -> None:
    with serving(Answers) as plain:
        address = plain.replace("http:", "https:")
        server = Server(grafana(secured).model_copy(update={"url": address}))
        with pytest.raises(GrafanaError, match=r": TLS failed \(\w+\): check that the server"):
            server.call("read the version", extra_calls.version)


def test_grafana_that_delivers(secured: Secured, caplog: pytest.LogCaptureFixture) -> None:
    routes = {"contact_points": {"a": {"type": "email", "settings": {"addresses": "a@b"}}}}
    section = grafana(
        secured,
        ca_file=secured.wrong,
        **routes,
        routing={"routes": [{"contact_point": "a"}]},
    )
    assert not GrafanaDelivery(Config(grafana=section)).delivers()
    assert "its certificate is not trusted" in caplog.text
    assert "set grafana.ca_file" in caplog.text


def test_mlflow(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_RETRIES", "0")
    settings = Mlflow(tracking_uri=secured.address, ca_file=secured.wrong)
    with pytest.raises(ServiceError) as error:
        registry.connect(settings)
    assert str(error.value).startswith(
        f"can't use MLflow at '{secured.address}': its certificate is not trusted ("
    )
    assert str(error.value).endswith(": set mlflow.ca_file to its authority's PEM file")


def test_notifications(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADDRESS", f"jsons://user:{TOKEN}@127.0.0.1:{secured.port}")
    config = Config.model_validate({"notify": {"urls": [{"env": "ADDRESS"}]}})
    message = Message(
        id=1,
        incident_id=1,
        kind="fired",
        title="title",
        body="body",
        dedupe_key="key",
        created_at=datetime.now(UTC),
        since=datetime.now(UTC),
        attempts=0,
        taken=[],
        outcome="",
    )
    taken, [problem] = send(config, message)
    assert taken == []
    assert problem.startswith(
        "address 1 of notify.urls did not accept the message: its certificate is not trusted ("
    )
    assert TOKEN not in problem


def test_a_dead_mans_switch(
    secured: Secured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SWITCH", f"{secured.address}/{TOKEN}")
    with caplog.at_level(logging.WARNING):
        Heartbeat(Secret(env="SWITCH"))._ping(Secret(env="SWITCH"))
    assert "its certificate is not trusted" in caplog.text
    assert TOKEN not in caplog.text


def kafka(secured: Secured, ca_file: Path) -> Kafka:
    bootstrap = f"127.0.0.1:{secured.port}"
    return Kafka(bootstrap=bootstrap, security_protocol="SSL", ca_file=ca_file)


def test_kafka(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    where = f"'127.0.0.1:{secured.port}'"
    distrusting = kafka(secured, secured.wrong)
    with pytest.raises(ServiceError) as error:
        topics(distrusting, 1.0)
    assert str(error.value).startswith(
        f"can't reach Kafka at {where}: its certificate is not trusted"
    )
    assert str(error.value).endswith(": set kafka.ca_file to its authority's PEM file")
    monkeypatch.setattr(topic_module, "_TIMEOUT", 1.0)
    monkeypatch.setattr(doctor, "_KAFKA_TIMEOUT", 1.0)
    with (
        Topic(distrusting, "t") as topic,
        pytest.raises(ServiceError, match="can't read topic 't': its certificate is not trusted"),
    ):
        topic.bounds()
    monkeypatch.setattr(doctor, "CHECKS", {"kafka": doctor.check_kafka})
    [finding] = doctor.run_checks(Config(kafka=distrusting))
    assert finding.level == "problem"
    assert finding.message.endswith("its certificate is not trusted")
    assert finding.fix == "set kafka.ca_file to its authority's PEM file"


def test_kafka_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServiceError, match=r"refused.*: check that it is running, and kafka\."):
        topics(Kafka(bootstrap=address), 1.0)


@pytest.fixture(scope="module")
def database(secured: Secured) -> Iterator[int]:
    """The port of a server that speaks PostgreSQL's protocol as far as TLS."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                if client.recv(8)[4:] == b"\x04\xd2\x16\x2f":  # a request for TLS
                    client.sendall(b"S")
                    try:
                        secured.tls.wrap_socket(client, server_side=True).close()
                    except OSError:
                        continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener], daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize(
    ("host", "ca_file", "expected"),
    [
        (
            "127.0.0.1",
            "wrong",
            "its certificate is not trusted: set postgres.sslrootcert to its authority's PEM file",
        ),
        (
            "localhost",
            "right",
            'does not match host name "localhost": set postgres.host to the name in the',
        ),
        ("127.0.0.1", "none", 'file "/none.pem" does not exist: see postgres.ssl'),
    ],
)
def test_postgres(secured: Secured, database: int, host: str, ca_file: str, expected: str) -> None:
    files = {"right": secured.right, "wrong": secured.wrong, "none": Path("/none.pem")}
    section = {
        "host": host,
        "port": database,
        "sslmode": "verify-full",
        "sslrootcert": files[ca_file],
    }
    with pytest.raises(ServiceError) as error:
        connect(Postgres.model_validate(section), "read")
    assert expected in str(error.value)
    assert "check that it is running" not in str(error.value)
