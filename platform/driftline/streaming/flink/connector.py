"""Settings with which Flink's Kafka connector connects to the broker."""

from pathlib import Path

from driftline.config import Kafka
from driftline.errors import ConfigError

# The connector's jar contains its own copy of the Kafka client, under this prefix.
_SHADED = "org.apache.flink.kafka.shaded."


def java_properties(settings: Kafka) -> dict[str, str]:
    """The broker's address and security settings, as properties of the Java client.

    Parameters:
        settings: a section with the real address: `Config.local_kafka()`, not `Config.kafka`.

    Raises:
        ConfigError: SASL without an account, or a secret or certificate that cannot be read.

    >>> java_properties(Kafka(bootstrap="localhost:9092"))["bootstrap.servers"]
    'localhost:9092'
    """
    properties = {
        "bootstrap.servers": settings.bootstrap,
        "security.protocol": settings.security_protocol,
        "enable.metrics.push": "false",
    }
    if settings.security_protocol.startswith("SASL"):
        properties |= _sasl(settings)
    if settings.security_protocol.endswith("SSL"):
        properties |= _tls(settings)
    return properties


def _sasl(settings: Kafka) -> dict[str, str]:
    if settings.username is None or settings.password is None:
        raise ConfigError(
            f"kafka.security_protocol is {settings.security_protocol!r} without an account: "
            "give kafka.username and kafka.password"
        )
    package = "plain.Plain" if settings.sasl_mechanism == "PLAIN" else "scram.Scram"
    module = f"{_SHADED}org.apache.kafka.common.security.{package}LoginModule"
    password = _quoted(settings.password.read())
    account = f'username="{_quoted(settings.username)}" password="{password}"'
    return {
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.jaas.config": f"{module} required {account};",
    }


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _tls(settings: Kafka) -> dict[str, str]:
    files: dict[str, Path | None] = {
        "ssl.truststore.certificates": settings.ca_file,
        "ssl.keystore.certificate.chain": settings.certificate_file,
        "ssl.keystore.key": settings.key_file,
    }
    properties = {key: _pem(path) for key, path in files.items() if path is not None}
    for store in {key.split(".")[1] for key in properties}:
        properties[f"ssl.{store}.type"] = "PEM"
    if settings.key_password is not None:
        properties["ssl.key.password"] = settings.key_password.read()
    return properties


def _pem(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read the certificate or key in {str(path)!r}: {error}") from error
