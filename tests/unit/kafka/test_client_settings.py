from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from driftline.config import Kafka
from driftline.config.types import Secret
from driftline.errors import ConfigError
from driftline.kafka import client_settings


def secret(folder: Path, text: str) -> Secret:
    path = folder / text
    path.write_text(text + "\n")
    return Secret(file=path)


def test_plaintext_has_no_security_settings() -> None:
    client = client_settings.librdkafka(Kafka(bootstrap="a:1,b:2"))
    assert client["bootstrap.servers"] == "a:1,b:2"
    assert not [key for key in client if key.startswith(("ssl", "sasl"))]


def test_sasl_over_tls_passes_account_and_files(tmp_path: Path) -> None:
    settings = Kafka(
        bootstrap="a:1",
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        username="job",
        password=secret(tmp_path, "hunter2"),
        ca_file=Path("ca.pem"),
        certificate_file=Path("me.pem"),
        key_file=Path("me.key"),
        key_password=secret(tmp_path, "opener"),
    )
    client = client_settings.librdkafka(settings)
    assert client["security.protocol"] == "SASL_SSL"
    assert client["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (client["sasl.username"], client["sasl.password"]) == ("job", "hunter2")
    assert client["ssl.ca.location"] == "ca.pem"
    assert client["ssl.certificate.location"] == "me.pem"
    assert client["ssl.key.location"] == "me.key"
    assert client["ssl.key.password"] == "opener"


def test_librdkafka_takes_every_setting(tmp_path: Path) -> None:
    settings = Kafka(
        bootstrap="localhost:1",
        security_protocol="SASL_PLAINTEXT",
        username="job",
        password=secret(tmp_path, "x"),
    )
    AdminClient(client_settings.librdkafka(settings) | {"log_level": 0})  # raises on an unknown one


def test_sasl_without_an_account_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'SASL_SSL' requires credentials: set kafka.username"):
        client_settings.librdkafka(Kafka(bootstrap="a:1", security_protocol="SASL_SSL"))
