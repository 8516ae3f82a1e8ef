"""How Flink's Kafka connector reaches the broker, and the tables over its topics."""

from driftline.config import Kafka

# The connector's jar carries its own copy of the Kafka client, under this prefix.
_SHADED = "org.apache.flink.kafka.shaded."


def java_properties(settings: Kafka) -> dict[str, str]:
    """The broker's address and security settings, as the Java client takes them.

    Parameters:
        settings: a section with a real address: `Config.local_kafka()`, not `Config.kafka`.

    Raises:
        ConfigError: a secret that cannot be read.

    >>> java_properties(Kafka(bootstrap="localhost:9092"))["bootstrap.servers"]
    'localhost:9092'
    """
    properties = {
        "bootstrap.servers": settings.bootstrap,
        "security.protocol": settings.security_protocol,
        "enable.metrics.push": "false",
    }
    if settings.username is not None and settings.password is not None:
        properties |= _sasl(settings.sasl_mechanism, settings.username, settings.password.read())
    if settings.security_protocol.endswith("SSL"):
        properties |= _tls(settings)
    return properties


def _sasl(mechanism: str, username: str, password: str) -> dict[str, str]:
    package = "plain.Plain" if mechanism == "PLAIN" else "scram.Scram"
    module = f"{_SHADED}org.apache.kafka.common.security.{package}LoginModule"
    account = f'username="{_quoted(username)}" password="{_quoted(password)}"'
    return {
        "sasl.mechanism": mechanism,
        "sasl.jaas.config": f"{module} required {account};",
    }


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _tls(settings: Kafka) -> dict[str, str]:
    properties = {}
    if settings.ca_file is not None:
        properties |= {
            "ssl.truststore.type": "PEM",
            "ssl.truststore.certificates": settings.ca_file.read_text(),
        }
    if settings.certificate_file is not None and settings.key_file is not None:
        properties |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.certificate.chain": settings.certificate_file.read_text(),
            "ssl.keystore.key": settings.key_file.read_text(),
        }
    if settings.key_password is not None:
        properties["ssl.key.password"] = settings.key_password.read()
    return properties
