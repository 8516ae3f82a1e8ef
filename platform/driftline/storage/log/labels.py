"""Writes labels to their table, each once."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.storage.connection import Connection
from driftline.storage.log.insert import Inserter
from driftline.storage.log.ledger import Ledger


@dataclass(frozen=True)
class LabelBatch:
    """n messages, each a label or a reject.

    Attributes:
        positions: n rows of `POSITION`.
        event_id, label_time, label: of the m labels.
        messages: int32[m], the message of each label.
        rejects: n - m rows of `REJECT`.
    """

    positions: pa.RecordBatch
    event_id: pa.Array
    label_time: pa.Array
    label: pa.Array
    messages: NDArray[Any]
    rejects: pa.RecordBatch


class LabelWriter:
    """Writes labels of one model over one connection; durable on return and idempotent.

    Parameters:
        connection: as role `write`, not in autocommit.
        model: the model's name in the config.
        topic: where the labels come from.
    """

    def __init__(self, connection: Connection, model: str, topic: str) -> None:
        self._connection = connection
        self._model = model
        self._ledger = Ledger(connection, model, "labels", topic)
        self._inserter = Inserter(connection, "label", ("model", "label_time", "event_id"))

    def write(self, batch: LabelBatch) -> NDArray[Any]:
        """Store new messages; returns which of them this call stored as labels, bool[n].

        A label of the same event and time as a stored one is a duplicate; a label of the same
        event with another time is a correction and is stored as well.

        Raises:
            psycopg.OperationalError: the outcome is unknown or nothing was stored; call again
                with a new connection.
        """
        sources = self._ledger.sources(batch.positions)
        with self._connection.transaction():
            repeated = self._ledger.claim(sources, batch.positions)
            new = ~repeated[batch.messages]
            messages = batch.messages[new]
            rows = self._rows(batch, sources).filter(pa.array(new))
            inserted = self._inserter.insert(rows)
            self._ledger.store_duplicates(rows.filter(pa.array(~inserted)), "label_time")
            is_new = ~repeated[batch.rejects.column("message").to_numpy()]
            rejects = batch.rejects.filter(pa.array(is_new))
            self._ledger.store_rejects(rejects, sources, batch.positions)
            outcomes = {
                "logged": messages[inserted],
                "duplicate": messages[~inserted],
                "rejected": rejects.column("message").to_numpy(),
                "filtered": np.empty(0, np.int32),
            }
            self._ledger.settle(sources, batch.positions, outcomes)
        stored = np.zeros(len(batch.positions), dtype=bool)
        stored[messages[inserted]] = True
        return stored

    def _rows(self, batch: LabelBatch, sources: NDArray[Any]) -> pa.RecordBatch:
        positions = batch.positions.take(pa.array(batch.messages))
        return pa.RecordBatch.from_pydict(
            {
                "label_time": batch.label_time,
                "model": pa.array([self._model] * len(batch.messages), pa.string()),
                "event_id": batch.event_id,
                "label": batch.label,
                "source": pa.array(sources[batch.messages], pa.int32()),
                "kafka_offset": positions.column("offset"),
                "kafka_time": positions.column("kafka_time"),
            }
        )
