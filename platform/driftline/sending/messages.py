"""Messages for a topic: from a file, checked as the job checks them, and sent."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from driftline.config import Input, Kafka
from driftline.errors import DriftlineError
from driftline.kafka.produce import Sender
from driftline.sending.generate import CHUNK
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.rejects import Rejects
from driftline.wording import counted

_SHOWN = 3  # rejected messages in an error
_TICK = 0.1  # seconds between two portions of a stream with a rate


def lines(file: BinaryIO) -> Iterator[list[bytes]]:
    """The lines of a file that are not empty, at most 10,000 at a time."""
    chunk: list[bytes] = []
    for line in file:
        if stripped := line.strip():
            chunk.append(stripped)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def lines_of(path: Path) -> Iterator[list[bytes]]:
    """As `lines`, of a path.

    Raises:
        DriftlineError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            yield from lines(file)
    except OSError as error:
        raise DriftlineError(f"can't read {str(path)!r}: {error.strerror}") from None


def require_valid(settings: Input, chunks: Iterable[Sequence[bytes]], where: str) -> int:
    """Decode messages as the job would; returns how many there are.

    Parameters:
        settings: the `input` section of the model.
        where: what the messages are from, for the error.

    Raises:
        DriftlineError: the job would reject some; with the first of them and the reasons.
    """
    decode = DECODERS[settings.decoder](settings)
    checked = rejected = 0
    shown: list[str] = []
    for payloads in chunks:
        rejects = Rejects(payloads)
        decode(payloads, np.full(len(payloads), np.datetime64("now", "us")), rejects)
        first_rejects = rejects.batch().slice(0, _SHOWN - len(shown)).to_pylist()
        shown += [
            f"message {checked + row['message'] + 1}: {row['reason']}, {row['detail']}"
            for row in first_rejects
        ]
        checked, rejected = checked + len(payloads), rejected + len(rejects)
    if rejected:
        raise DriftlineError(
            f"{where}: {rejected:,} of {counted(checked, 'message')} would be rejected, so nothing "
            f"was sent ({'; '.join(shown)}): fix them, or send them with --no-check"
        )
    return checked


def send(
    kafka: Kafka,
    topic: str,
    chunks: Iterable[Sequence[bytes]],
    *,
    rate: float | None = None,
    sent: Callable[[int], object] = lambda _: None,
) -> int:
    """Send messages to a topic; returns how many the broker has acknowledged.

    Parameters:
        kafka: a section with a real address: `Config.local_kafka()`.
        rate: messages a second; None for as many as the broker takes.
        sent: called with the number of messages so far, after each portion.

    Raises:
        ServiceError: the broker does not take them.
    """
    sender, count, started = Sender(kafka), 0, time.monotonic()
    for portion in _portions(chunks, rate):
        for payload in portion:
            sender.send(topic, payload)
        count += len(portion)
        if rate is not None:
            sender.flush()
            time.sleep(max(started + count / rate - time.monotonic(), 0))
        sent(count)
    sender.flush()
    return count


def _portions(chunks: Iterable[Sequence[bytes]], rate: float | None) -> Iterator[Sequence[bytes]]:
    size = CHUNK if rate is None else max(round(rate * _TICK), 1)
    for chunk in chunks:
        for first in range(0, len(chunk), size):
            yield chunk[first : first + size]
