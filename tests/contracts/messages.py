"""Messages with a known outcome, the batches they make, and what a store must hold of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from driftline.records import POSITION, PREDICTION, REJECT, ScoredBatch

MODEL = "fraud"
FEATURES = pa.schema(
    [
        ("amount", pa.float64()),
        ("items", pa.int64()),
        ("country", pa.string()),
        ("new", pa.bool_()),
    ]
)
VERSION = 3


@dataclass(frozen=True)
class Message:
    """One message at its position.

    An event is named by (time, event_id); `score` and the features are what it brings.
    """

    partition: int
    offset: int
    outcome: Literal["event", "rejected", "filtered"] = "event"
    event_id: str = "a"
    time: datetime = datetime.min
    score: float = 0.5
    amount: float | None = 1.0
    country: str | None = "de"
    outputs: str | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Its place in the topic."""
        return self.partition, self.offset

    @property
    def key(self) -> tuple[datetime, str]:
        """What names the event."""
        return self.time, self.event_id

    @property
    def kafka_time(self) -> datetime:
        """A time that its position gives."""
        return datetime(2024, 1, 1) + timedelta(seconds=self.offset % 1_000_000)

    def prediction(self) -> dict[str, Any]:
        """Its row in a batch."""
        return {
            "event_time": self.time,
            "event_id": self.event_id,
            "model_version": VERSION,
            "role": "champion",
            "score": self.score,
            "outputs": self.outputs,
            "late": self.offset % 2 == 1,
            "scored_at": datetime(2024, 2, 1, microsecond=self.offset % 1_000_000),
            "inference_ms": 0.5 + self.offset % 7,
            "amount": self.amount,
            "items": self.offset,
            "country": self.country,
            "new": None if self.offset % 3 == 0 else self.offset % 3 == 1,
        }


def batch(messages: Sequence[Message]) -> ScoredBatch:
    """The messages as the job hands them to a sink."""
    at = {
        outcome: np.array(
            [n for n, message in enumerate(messages) if message.outcome == outcome], np.int32
        )
        for outcome in ("event", "rejected", "filtered")
    }
    positions = [
        {"partition": m.partition, "offset": m.offset, "kafka_time": m.kafka_time} for m in messages
    ]
    rejects = [
        {"message": n, "reason": "wrong_type", "detail": f"offset {messages[n].offset}",
         "payload": b"\0\xff" * (messages[n].offset % 3) or None}
        for n in at["rejected"].tolist()
    ]  # fmt: skip
    return ScoredBatch(
        positions=pa.RecordBatch.from_pylist(positions, schema=POSITION),
        predictions=pa.RecordBatch.from_pylist(
            [messages[n].prediction() for n in at["event"].tolist()],
            schema=pa.schema([*PREDICTION, *FEATURES]),
        ),
        messages=at["event"],
        rejects=pa.RecordBatch.from_pylist(rejects, schema=REJECT),
        filtered=at["filtered"],
    )


@dataclass(frozen=True)
class Expected:
    """What a store holds after some writes, one after the other.

    Attributes:
        logged: the message whose row is stored, by its event.
        outcomes: of every message, by position.
    """

    logged: dict[tuple[datetime, str], Message]
    outcomes: dict[tuple[int, int], str]


def expected(writes: Iterable[Iterable[Message]]) -> Expected:
    """The plain way: message by message, the first outcome of an offset stays."""
    logged: dict[tuple[datetime, str], Message] = {}
    outcomes: dict[tuple[int, int], str] = {}
    for message in (message for write in writes for message in write):
        if message.position in outcomes:
            continue
        outcome: str = message.outcome
        if outcome == "event":
            outcome = "duplicate" if message.key in logged else "logged"
            logged.setdefault(message.key, message)
        outcomes[message.position] = outcome
    return Expected(logged, outcomes)
