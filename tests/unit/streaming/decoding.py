"""One way to decode messages, for the tests of everything that starts from them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from driftline.config import Input
from driftline.streaming.scoring.decode import JsonDecoder
from driftline.streaming.scoring.rejects import Rejects

#: Kafka's timestamp of every message.
NOW = "2026-01-01T00:00:00"
#: A range of event time that leaves nothing out that can be stored.
ANY_TIME = {"since": "0001-01-01", "until": "9999-12-31"}


class Reject(NamedTuple):
    """One rejected message, without its payload."""

    message: int
    reason: str
    detail: str


class Outcome(NamedTuple):
    """What became of a batch: events by message, and rejects in order of messages."""

    events: dict[int, dict[str, Any]]
    rejects: list[Reject]


def settings(**more: Any) -> Input:
    """An input section with a field of each type."""
    section: dict[str, Any] = {
        "topic": "payments",
        "event_id": "id",
        "event_time": "at",
        "fields": {"amount": "float", "items": "int", "country": "string", "new": "bool"},
    }
    return Input.model_validate(section | more)


def decode(payloads: Sequence[bytes | None], **more: Any) -> Outcome:
    """Decode messages that all came at `NOW`."""
    rejects = Rejects(payloads)
    times = np.full(len(payloads), np.datetime64(NOW, "us"))
    decoded = JsonDecoder(settings(**more))(payloads, times, rejects)
    reject_batch = rejects.batch()
    assert reject_batch.column("payload").to_pylist() == [
        payloads[message] for message in reject_batch.column("message").to_pylist()
    ]
    events = decoded.events.to_pylist()
    return Outcome(
        dict(zip(decoded.messages.tolist(), events, strict=True)),
        [Reject(r["message"], r["reason"], r["detail"]) for r in reject_batch.to_pylist()],
    )


def event(**fields: str) -> bytes:
    """An event whose fields are written as they are given: JSON text by key."""
    written = {"id": '"a"', "at": f'"{NOW}Z"'} | fields
    return ("{" + ", ".join(f'"{key}": {text}' for key, text in written.items()) + "}").encode()
