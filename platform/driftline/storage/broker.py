"""How every Kafka client of driftline's own (not Flink's) reaches the broker."""

from pathlib import Path

from driftline.config import Kafka
from driftline.errors import ConfigError


def librdkafka(settings: Kafka) -> dict[str, str | int | bool]:
    """The broker's address and security settings, as `confluent_kafka` clients take them.

    Parameters:
        settings: a section with a real address: `Config.local_kafka()`, not `Config.kafka`.

    Returns:
        A new dict; the caller adds what its client needs (`group.id`, `isolation.level`, ...).

    Raises:
        ConfigError: SASL without an account, or a secret that cannot be read.

    >>> librdkafka(Kafka(bootstrap="localhost:9092"))["bootstrap.servers"]
    'localhost:9092'
    """
    client: dict[str, str | int | bool] = {
        "bootstrap.servers": settings.bootstrap,
        "security.protocol": settings.security_protocol,
        "enable.metrics.push": False,
        "log_level": 3,  # errors; what it tries again by itself is no news
    }
    if settings.security_protocol.startswith("SASL"):
        client |= _sasl(settings)
    if settings.security_protocol.endswith("SSL"):
        client |= _tls(settings)
    return client


def _sasl(settings: Kafka) -> dict[str, str]:
    if settings.username is None or settings.password is None:
        raise ConfigError(
            f"kafka.security_protocol is {settings.security_protocol!r} without an account: "
            "give kafka.username and kafka.password"
        )
    return {
        "sasl.mechanism": settings.sasl_mechanism,
        "sasl.username": settings.username,
        "sasl.password": settings.password.read(),
    }


def _tls(settings: Kafka) -> dict[str, str]:
    files: dict[str, Path | None] = {
        "ssl.ca.location": settings.ca_file,
        "ssl.certificate.location": settings.certificate_file,
        "ssl.key.location": settings.key_file,
    }
    client = {key: str(path) for key, path in files.items() if path is not None}
    if settings.key_password is not None:
        client["ssl.key.password"] = settings.key_password.read()
    return client
