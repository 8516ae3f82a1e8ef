"""Client settings of driftline's own Kafka clients (not Flink's)."""

from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from driftline.config import Kafka
from driftline.errors import ConfigError, ServiceError
from driftline.tls_errors import text_problem


def librdkafka(settings: Kafka) -> dict[str, str | int | bool]:
    """The broker's address and security settings, as `confluent_kafka` clients take them.

    Parameters:
        settings: a section with a real address: `Config.local_kafka()`, not `Config.kafka`.

    Returns:
        A new dict; the caller adds what its client needs (`group.id`, `isolation.level`, ...).

    Raises:
        ConfigError: SASL without credentials, or a secret that cannot be read.

    >>> librdkafka(Kafka(bootstrap="localhost:9092"))["bootstrap.servers"]
    'localhost:9092'
    """
    client: dict[str, str | int | bool] = {
        "bootstrap.servers": settings.bootstrap,
        "security.protocol": settings.security_protocol,
        "enable.metrics.push": False,
        "log_level": 3,  # errors only: the client retries warnings by itself
    }
    if settings.security_protocol.startswith("SASL"):
        client |= _sasl(settings)
    if settings.security_protocol.endswith("SSL"):
        client |= _tls(settings)
    return client


class Complaints:
    """Collects the errors that a client's threads report while its calls only time out.

    The first error is the cause. Create the client with `settings`, which also turns off its log:
    it would log every retry.
    """

    def __init__(self) -> None:
        self._first: str | None = None

    def settings(self, settings: Kafka) -> dict[str, Any]:
        """The settings of `librdkafka` for a client that reports its errors here."""
        return {**librdkafka(settings), "error_cb": self, "log_level": 0}

    def __call__(self, error: KafkaError) -> None:
        self._first = self._first or error.str()

    def reason(self, client: Any, error: KafkaError) -> str:
        """Why a call of a client failed; polling the client delivers its pending reports."""
        client.poll(0)
        return self._first or str(error.str())

    def explain(self, client: Any, error: KafkaException) -> str:
        """Why a client cannot reach the broker, and what to do."""
        reason = self.reason(client, error.args[0])
        return text_problem(reason, "kafka.ca_file") or (
            f"{reason}: check that it is running, and kafka.bootstrap, security_protocol and "
            "credentials"
        )


def topics(settings: Kafka, timeout: float) -> set[str]:
    """The topics that the broker has.

    Raises:
        ServiceError: why it does not answer, and what to do.
    """
    complaints = Complaints()
    admin = AdminClient(complaints.settings(settings))
    try:
        return set(admin.list_topics(timeout=timeout).topics)
    except KafkaException as error:
        reason = complaints.explain(admin, error)
        raise ServiceError(f"can't reach Kafka at {settings.bootstrap!r}: {reason}") from None


def _sasl(settings: Kafka) -> dict[str, str]:
    if settings.username is None or settings.password is None:
        raise ConfigError(
            f"kafka.security_protocol {settings.security_protocol!r} requires credentials: "
            "set kafka.username and kafka.password"
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
