from pathlib import Path

import pytest

from driftline.config import Kafka
from driftline.config.types import Secret
from driftline.errors import ConfigError
from driftline.streaming.flink.connector import java_properties

SHADED = "org.apache.flink.kafka.shaded.org.apache.kafka.common.security"


def secret(folder: Path, text: str) -> Secret:
    path = folder / f"secret-{len(text)}"
    path.write_text(text + "\n")
    return Secret(file=path)


def test_plaintext() -> None:
    assert java_properties(Kafka(bootstrap="a:1,b:2")) == {
        "bootstrap.servers": "a:1,b:2",
        "security.protocol": "PLAINTEXT",
        "enable.metrics.push": "false",
    }


@pytest.mark.parametrize(
    ("mechanism", "module"),
    [
        ("PLAIN", f"{SHADED}.plain.PlainLoginModule"),
        ("SCRAM-SHA-256", f"{SHADED}.scram.ScramLoginModule"),
        ("SCRAM-SHA-512", f"{SHADED}.scram.ScramLoginModule"),
    ],
)
def test_sasl(tmp_path: Path, mechanism: str, module: str) -> None:
    settings = Kafka.model_validate(
        {
            "bootstrap": "a:1",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": mechanism,
            "username": "driftline",
            "password": secret(tmp_path, "hunter2"),
        }
    )
    assert java_properties(settings) == {
        "bootstrap.servers": "a:1",
        "security.protocol": "SASL_PLAINTEXT",
        "enable.metrics.push": "false",
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": f'{module} required username="driftline" password="hunter2";',
    }


def test_quotes_in_the_account(tmp_path: Path) -> None:
    settings = Kafka(
        security_protocol="SASL_SSL",
        username='a"b',
        password=secret(tmp_path, "back\\slash \"quote\"; 'x'"),
    )
    account = java_properties(settings)["sasl.jaas.config"].partition(" required ")[2]
    assert account == r"""username="a\"b" password="back\\slash \"quote\"; 'x'";"""


@pytest.mark.parametrize("missing", ["username", "password"])
def test_sasl_without_an_account(tmp_path: Path, missing: str) -> None:
    settings = Kafka(
        security_protocol="SASL_SSL", username="a", password=secret(tmp_path, "p")
    ).model_copy(update={missing: None})
    with pytest.raises(ConfigError) as error:
        java_properties(settings)
    assert str(error.value) == (
        "kafka.security_protocol is 'SASL_SSL' without an account: "
        "give kafka.username and kafka.password"
    )


def test_an_account_without_sasl_is_not_sent(tmp_path: Path) -> None:
    settings = Kafka(bootstrap="a:1", username="a", password=secret(tmp_path, "p"))
    assert java_properties(settings) == java_properties(Kafka(bootstrap="a:1"))


def test_tls(tmp_path: Path) -> None:
    for name in ("ca", "cert", "key"):
        (tmp_path / name).write_text(f"-----{name}-----\n")
    settings = Kafka(
        bootstrap="a:1",
        security_protocol="SSL",
        ca_file=tmp_path / "ca",
        certificate_file=tmp_path / "cert",
        key_file=tmp_path / "key",
        key_password=secret(tmp_path, "hunter2"),
    )
    assert java_properties(settings) == {
        "bootstrap.servers": "a:1",
        "security.protocol": "SSL",
        "enable.metrics.push": "false",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.certificates": "-----ca-----\n",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.certificate.chain": "-----cert-----\n",
        "ssl.keystore.key": "-----key-----\n",
        "ssl.key.password": "hunter2",
    }


def test_tls_with_the_systems_authorities() -> None:
    properties = java_properties(Kafka(bootstrap="a:1", security_protocol="SSL"))
    assert [key for key in properties if key.startswith("ssl.")] == []


def test_certificates_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "none.pem"
    with pytest.raises(ConfigError) as error:
        java_properties(Kafka(security_protocol="SSL", ca_file=path))
    assert str(error.value).startswith(
        f"can't read the certificate or key in {str(path)!r}: [Errno"
    )
