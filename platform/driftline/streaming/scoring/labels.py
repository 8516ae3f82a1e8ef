"""Decodes labels and stores them exactly once, with the same ledger as events."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from driftline.config import Config, Input, Labels
from driftline.errors import ConfigError
from driftline.names import EVENT_ID, EVENT_TIME
from driftline.records import POSITION
from driftline.storage.log.labels import LabelBatch, LabelWriter
from driftline.storage.reconnect import Reconnecting
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.rejects import Rejects

LABEL = "label"


class LabelLog:
    """Decodes and stores labels. Delivery: exactly once; blocks while the database is unavailable.

    Parameters:
        config: with the model `name` in it.
        name: the model, which must have a `labels` section.
    """

    def __init__(self, config: Config, name: str) -> None:
        labels = config.model(name).labels
        if labels is None:
            raise ConfigError(f"model {name!r} has no labels section: add one to driftline.yaml")
        settings = as_input(labels)
        self._decode = DECODERS[settings.decoder](settings)
        topic = labels.topic
        self._writer = Reconnecting(
            config.local_postgres(), lambda connection: LabelWriter(connection, name, topic)
        )

    def write(
        self,
        payloads: Sequence[bytes | None],
        partition: NDArray[Any],
        offset: NDArray[Any],
        kafka_time: NDArray[Any],
    ) -> NDArray[Any]:
        """Store n messages; returns which of them are labels that this call stored, bool[n]."""
        rejects = Rejects(payloads)
        decoded = self._decode(payloads, kafka_time, rejects)
        columns = (partition, offset, kafka_time)
        positions = [pa.array(c, f.type) for c, f in zip(columns, POSITION, strict=True)]
        batch = LabelBatch(
            positions=pa.RecordBatch.from_arrays(positions, schema=POSITION),
            event_id=decoded.events.column(EVENT_ID),
            label_time=decoded.events.column(EVENT_TIME),
            label=_numbers(decoded.events.column(LABEL)),
            messages=decoded.messages,
            rejects=rejects.batch(),
        )
        return self._writer.call(lambda writer: writer.write(batch))

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


def _numbers(label: pa.Array) -> pa.Array:
    """Labels as float64; none is infinite (JSON has no infinity) or missing (rejected before)."""
    return label.cast(pa.float64(), safe=False)  # whole numbers beyond 2**53 are rounded


def as_input(labels: Labels) -> Input:
    """A label is an event with one required field."""
    return Input.model_validate(
        {
            "topic": labels.topic,
            "event_id": labels.event_id,
            "event_time": labels.time,
            "time_format": labels.time_format,
            "fields": {LABEL: {"type": labels.type, "key": labels.label}},
            "required": [LABEL],
            "accept": labels.accept.model_dump(),
        }
    )
