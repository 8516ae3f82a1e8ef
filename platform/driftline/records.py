"""The records of the hot path: a sink's input batch, and the rows that it stored."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

#: The position of a message in its topic.
POSITION = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("kafka_time", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)

#: A message that could not become a prediction. `message` is its row in the batch's positions.
REJECT = pa.schema(
    [
        pa.field("message", pa.int32(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("payload", pa.binary()),
    ]
)

#: The first columns of a prediction as the job creates it; the model's features follow.
PREDICTION = pa.schema(
    [
        pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("model_version", pa.int32(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("outputs", pa.string()),
        pa.field("late", pa.bool_(), nullable=False),
        pa.field("scored_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("inference_ms", pa.float32(), nullable=False),
    ]
)

#: The prediction of a version that does not serve, for an event that another version serves; the
#: score is null if it failed. `prediction` is the row in the batch's predictions.
SHADOW = pa.schema(
    [
        pa.field("prediction", pa.int32(), nullable=False),
        *(PREDICTION.field(n) for n in ("model_version", "role", "score", "outputs")),
        *(PREDICTION.field(n) for n in ("scored_at", "inference_ms")),
    ]
)
NO_SHADOWS = pa.RecordBatch.from_pylist([], schema=SHADOW)

#: The published columns of a prediction.
PUBLISHED = pa.schema(
    [PREDICTION.field(n) for n in ("event_time", "event_id", "model_version", "score", "outputs")]
)


@dataclass(frozen=True)
class ScoredBatch:
    """The messages of one batch; each is a prediction, rejected or filtered.

    Attributes:
        positions: n rows of `POSITION`, one per message, in the order read.
        predictions: m rows: the columns of `PREDICTION`, then the features.
        messages: int32[m], the message that each prediction came from.
        rejects: r rows of `REJECT`.
        filtered: int32[f], the messages that the feature definition left out.
        shadows: rows of `SHADOW`, any number of versions for each of the predictions.

    n = m + r + f holds for every batch.
    """

    positions: pa.RecordBatch
    predictions: pa.RecordBatch
    messages: NDArray[Any]
    rejects: pa.RecordBatch
    filtered: NDArray[Any]
    # a factory, because a default must be hashable
    shadows: pa.RecordBatch = field(default_factory=lambda: NO_SHADOWS)


@dataclass(frozen=True)
class StoredBatch:
    """The stored rows of a batch's messages, after the write is durable.

    Attributes:
        predictions: rows of `PUBLISHED`, the stored rows of the logged messages: a repeated
            batch gets the rows that were stored first, not its own.
        messages: int32[len(predictions)], the message of each stored row.
        logged: how many predictions this write added.
        duplicate: how many messages named an event that was stored before.
        repeated: how many messages had their outcome from an earlier write.
    """

    predictions: pa.RecordBatch
    messages: NDArray[Any]
    logged: int
    duplicate: int
    repeated: int
