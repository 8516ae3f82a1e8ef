"""Events that look like a model's, with a drift on request."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from driftline.config import EventField, Input
from driftline.errors import DriftlineError

CHUNK = 10_000  # events
_DRIFT = re.compile(r"(?P<field>\w+)=(?P<change>.*?)(?:@(?P<share>\d+(?:\.\d+)?)%)?")
_TEXTS = ("a", "b", "c", "d", "e")
_SHARES = (0.4, 0.25, 0.2, 0.1, 0.05)  # of the texts
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}


@dataclass(frozen=True)
class Drift:
    """A change of one field in a share of the events.

    Attributes:
        change: `*F` or `+D` or `-D` for numbers, `null` for missing, else the new value.
        share: of the events, in (0, 1].
    """

    field: str
    change: str
    share: float = 1.0


def parse_drift(text: str, settings: Input) -> Drift:
    """Read `FIELD=CHANGE` or `FIELD=CHANGE@SHARE%`.

    Raises:
        DriftlineError: it is not of this form, or there is no such field.

    >>> settings = Input.model_validate({
    ...     "topic": "t", "event_id": "id", "event_time": "at", "fields": {"amount": "float"}})
    >>> parse_drift("amount=*1.5@20%", settings)
    Drift(field='amount', change='*1.5', share=0.2)
    """
    match = _DRIFT.fullmatch(text)
    if match is None or not match["change"]:
        raise DriftlineError(
            f"invalid --drift {text!r}: use FIELD=*1.5, FIELD=+10, FIELD=VALUE or FIELD=null, "
            "optionally followed by @20% for a share of the events"
        )
    if match["field"] not in settings.fields:
        fields = ", ".join(settings.fields)
        raise DriftlineError(f"invalid --drift {text!r}: fields of the model are {fields}")
    share = 1.0 if match["share"] is None else float(match["share"]) / 100
    if not 0 < share <= 1:
        raise DriftlineError(
            f"invalid --drift {text!r}: the share must be above 0 and at most 100%"
        )
    drift = Drift(match["field"], match["change"], share)
    _change(drift, settings.fields[drift.field])  # refuse a change that does not fit the field
    return drift


def generate(
    settings: Input,
    events: int,
    start: datetime,
    end: datetime,
    *,
    drifts: Sequence[Drift] = (),
    sample: pa.Table | None = None,
    seed: int | None = None,
) -> Iterator[list[bytes]]:
    """Make events with times spread evenly over [start, end), as messages of the input topic.

    Parameters:
        drifts: changes, applied in this order.
        sample: rows to draw from, for the fields that it has as columns; the other fields are
            drawn by type: log-normal floats, Poisson counts, five texts, a fifth true.
        seed: of the random numbers; None for different ones each time.

    Returns:
        Chunks of at most 10,000 messages, in the order of event time.
    """
    rng = np.random.default_rng(seed)
    prefix = f"generated-{rng.integers(16**8):08x}"
    step = (end - start) / max(events, 1)
    changes = [(drift, _change(drift, settings.fields[drift.field])) for drift in drifts]
    for first in range(0, events, CHUNK):
        n = min(CHUNK, events - first)
        columns = _fields(settings, n, sample, rng)
        for drift, change in changes:
            affected = rng.random(n) < drift.share
            columns[drift.field] = [
                change(value) if hit else value
                for value, hit in zip(columns[drift.field], affected, strict=True)
            ]
        columns = {settings.fields[name].key or name: values for name, values in columns.items()}
        columns[settings.event_id] = [f"{prefix}-{first + i}" for i in range(n)]
        columns[settings.event_time] = [
            written_time(start + step * (first + i), settings.time_format) for i in range(n)
        ]
        rows = zip(*columns.values(), strict=True)
        yield [msgspec.json.encode(dict(zip(columns, row, strict=True))) for row in rows]


def _fields(
    settings: Input, n: int, sample: pa.Table | None, rng: np.random.Generator
) -> dict[str, list[Any]]:
    """Values of each field; those of a sample come from the same row of it."""
    sampled = sample if sample is not None and len(sample) else pa.table({})
    rows = pa.array(rng.integers(max(len(sampled), 1), size=n))
    return {
        name: sampled.column(name).take(rows).to_pylist()
        if name in sampled.column_names
        else _by_type(field, n, rng)
        for name, field in settings.fields.items()
    }


def _by_type(field: EventField, n: int, rng: np.random.Generator) -> list[Any]:
    if field.type == "tensor":
        values: NDArray[Any] = rng.normal(size=(n, *(field.shape or ())))
    elif field.type == "float":
        values = rng.lognormal(3.0, 1.0, n).round(2)
    elif field.type == "int":
        values = rng.poisson(20, n)
    elif field.type == "bool":
        values = rng.random(n) < 0.2
    else:
        values = rng.choice(_TEXTS, n, p=_SHARES)
    listed: list[Any] = values.tolist()
    return listed


def _change(drift: Drift, field: EventField) -> Callable[[Any], Any]:
    """The function of a value that a drift stands for; what is missing stays missing."""
    text = drift.change
    if text == "null":
        return lambda _: None
    if field.type in ("float", "int") and text[0] in "*+-":
        amount = _number(text[1:], drift)
        operations: dict[str, Callable[[Any], Any]] = {
            "*": lambda value: value * amount,
            "+": lambda value: value + amount,
            "-": lambda value: value - amount,
        }
        convert = round if field.type == "int" else float
        return lambda value: None if value is None else convert(operations[text[0]](value))
    if field.type in ("float", "int"):
        number = _number(text, drift)
        return lambda _: round(number) if field.type == "int" else number
    if field.type == "bool" and text in ("true", "false"):
        return lambda _: text == "true"
    if field.type == "string":
        return lambda _: text
    raise DriftlineError(
        f"invalid --drift {drift.field}={text}: {drift.field!r} is of type {field.type}"
    )


def _number(text: str, drift: Drift) -> float:
    try:
        return float(text)
    except ValueError:
        raise DriftlineError(
            f"invalid --drift {drift.field}={drift.change}: {text!r} is not a number"
        ) from None


def written_time(time: datetime, time_format: str) -> str | int:
    """A time as a message of the topic has it.

    >>> written_time(datetime(1970, 1, 1, 0, 1, tzinfo=UTC), "epoch_s")
    60
    """
    if time_format == "iso8601":
        return time.isoformat()
    return (time - _EPOCH) // timedelta(microseconds=_MICROSECONDS[time_format])
