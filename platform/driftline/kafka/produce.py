"""Sending records to a topic from outside of the job: replays and republished predictions."""

from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from driftline.config import Kafka
from driftline.errors import ServiceError
from driftline.kafka.client_settings import Complaints
from driftline.tls_errors import text_problem

_LARGEST_RECORD = 64 * 1024 * 1024


class Sender:
    """An idempotent producer: each record arrives exactly once, or `flush` raises.

    Parameters:
        settings: a section with a real address: `Config.local_kafka()`.
    """

    def __init__(self, settings: Kafka) -> None:
        self._failed: list[KafkaError] = []
        self._complaints = Complaints()
        self._producer = Producer(
            {
                **self._complaints.settings(settings),
                "enable.idempotence": True,
                "message.max.bytes": _LARGEST_RECORD,
                "linger.ms": 20,
                "compression.type": "lz4",
                "message.timeout.ms": 60_000,
            }
        )

    def send(self, topic: str, value: bytes, **options: Any) -> None:
        """Hand one record over; it is there when `flush` has returned.

        Parameters:
            options: key, partition, timestamp (ms) or headers.

        Raises:
            ServiceError: the broker refuses it.
        """
        while True:
            try:
                self._producer.produce(topic, value, on_delivery=self._delivered, **options)
                return
            except BufferError:  # the queue is full: let it drain
                self._producer.poll(0.5)
            except KafkaException as error:
                raise ServiceError(f"can't produce to {topic!r}: {error.args[0].str()}") from error

    def flush(self) -> None:
        """Wait until the broker has every record.

        Raises:
            ServiceError: some records did not arrive.
        """
        self._producer.flush()
        if self._failed:
            count, first = len(self._failed), self._failed[0]
            self._failed.clear()
            reason = self._complaints.reason(self._producer, first)
            reason = text_problem(reason, "kafka.ca_file") or f"{reason}; try again"
            raise ServiceError(f"{count} records did not reach the broker: {reason}")

    def _delivered(self, error: KafkaError | None, _: Any) -> None:
        if error is not None:
            self._failed.append(error)
