"""Messages to typed columns: each message is parsed on its own, a bad one is kept with its reason.

The parse is the one loop over rows on the hot path; everything after it works on whole columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from driftline.config import AcceptedTime, FieldType, Input
from driftline.names import EVENT_ID, EVENT_TIME
from driftline.streaming.rejects import Rejects

ID_LIMIT = 512  # characters; a B-tree entry must stay below a third of a page

ARROW_TYPES: dict[FieldType, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
}
TIMESTAMP = pa.timestamp("us", tz="UTC")

_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
# A whole number may be written as 1.0: many producers do; 1.5 is refused after the parse.
_PARSED: dict[FieldType, Any] = {
    "int": _Int64 | float | None,
    "float": float | None,
    "string": str | None,
    "bool": bool | None,
}
_PER_SECOND = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}


@dataclass(frozen=True)
class Decoded:
    """The messages that are events.

    Attributes:
        events: m rows: event_id, event_time, then the declared fields.
        messages: int32[m], the message of each event, ascending.
    """

    events: pa.RecordBatch
    messages: np.ndarray


class JsonDecoder:
    """Decodes JSON objects by the declared fields.

    Parameters:
        settings: the model's `input` section.

    >>> decoder = JsonDecoder(Input.model_validate({
    ...     "topic": "t", "event_id": "id", "event_time": "at", "fields": {"amount": "float"}}))
    >>> now = np.array(["2026-01-01T00:00:00"], "datetime64[us]")
    >>> payloads = [b'{"id": "a", "at": "2026-01-01T00:00:00Z", "amount": 3}']
    >>> decoded = decoder(payloads, now, Rejects(payloads))
    >>> decoded.events.column("amount").to_pylist()
    [3.0]
    """

    def __init__(self, settings: Input) -> None:
        self._settings = settings
        fields = settings.fields
        keys = {name: field.key or name for name, field in fields.items()}
        types: dict[str, Any] = {keys[name]: _PARSED[field.type] for name, field in fields.items()}
        types[settings.event_id] = str | int | None
        is_text = settings.time_format == "iso8601"
        types[settings.event_time] = str | None if is_text else int | float | None
        attributes = {key: f"f{index}" for index, key in enumerate(types)}
        struct = msgspec.defstruct(
            "Event",
            [(attributes[key], kind, None) for key, kind in types.items()],
            rename={attribute: key for key, attribute in attributes.items()},
            gc=False,
        )
        self._decode = msgspec.json.Decoder(struct).decode
        self._columns = attrgetter(*attributes.values())
        self._index = {key: index for index, key in enumerate(types)}
        self._keys = keys
        self.schema = pa.schema(
            [
                pa.field(EVENT_ID, pa.string()),
                pa.field(EVENT_TIME, TIMESTAMP),
                *(pa.field(name, ARROW_TYPES[field.type]) for name, field in fields.items()),
            ]
        )

    def __call__(
        self, payloads: Sequence[bytes | None], kafka_time: np.ndarray, rejects: Rejects
    ) -> Decoded:
        """Decode n payloads; those that are no events go to `rejects`.

        Parameters:
            payloads: the values of n messages, None for a tombstone.
            kafka_time: datetime64[us][n], UTC.
            rejects: of the same payloads.
        """
        parsed, messages = self._parse(payloads, rejects)
        columns = list(zip(*map(self._columns, parsed), strict=True)) or [()] * len(self._index)
        ids = _ids(columns[self._index[self._settings.event_id]], messages, rejects)
        times = _times(columns[self._index[self._settings.event_time]], self._settings.time_format)
        self._check_times(times, columns, messages, kafka_time, rejects)
        arrays = [ids, pa.array(times.astype("datetime64[us]"), TIMESTAMP, from_pandas=True)]
        for name, field in self._settings.fields.items():
            values = columns[self._index[self._keys[name]]]
            array = _column(name, field.type, values, messages, rejects)
            if name in self._settings.required:
                missing = array.is_null().to_numpy(zero_copy_only=False)
                text = f"required field {name!r} is missing"
                rejects.add_where(missing, messages, "missing_field", lambda _, t=text: t)
            arrays.append(array)
        events = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        if rejects:  # some that parsed may have been rejected after
            good = rejects.spared(messages)
            events, messages = events.filter(pa.array(good)), messages[good]
        return Decoded(events, messages)

    def _parse(
        self, payloads: Sequence[bytes | None], rejects: Rejects
    ) -> tuple[list[Any], np.ndarray]:
        try:  # nearly every batch is clean: no bookkeeping for it
            return list(map(self._decode, payloads)), np.arange(len(payloads), dtype=np.int32)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError):
            pass
        parsed, messages = [], []
        for message, payload in enumerate(payloads):
            try:
                parsed.append(self._decode(payload))  # type: ignore[arg-type]
                messages.append(message)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError) as error:
                rejects.add(message, *_parse_failure(payload, error))
        return parsed, np.array(messages, dtype=np.int32)

    def _check_times(
        self,
        times: np.ndarray,
        columns: list[tuple[Any, ...]],
        messages: np.ndarray,
        kafka_time: np.ndarray,
        rejects: Rejects,
    ) -> None:
        key = self._settings.event_time
        raw = columns[self._index[key]]
        unknown = np.isnat(times)
        if unknown.any():
            missing = unknown & np.array([value is None for value in raw], dtype=bool)
            text = f"event time {key!r} is missing"
            rejects.add_where(missing, messages, "missing_event_time", lambda _: text)
            expected = self._settings.time_format
            rejects.add_where(
                unknown & ~missing,
                messages,
                "unreadable_event_time",
                lambda row: f"event time {key!r} is {raw[row]!r}, not {expected}",
            )
        first, last = accepted(self._settings.accept, kafka_time[messages])
        rejects.add_where(
            ~unknown & ((times < first) | (times > last)),
            messages,
            "event_time_out_of_range",
            lambda row: f"event time {key!r} is {raw[row]!r}, outside the accepted range",
        )


def accepted(accept: AcceptedTime, kafka_time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last event time, datetime64[us], accepted for each message."""
    if accept.since is not None and accept.until is not None:
        return _instant(accept.since), _instant(accept.until)
    return kafka_time - np.timedelta64(accept.past), kafka_time + np.timedelta64(accept.future)


def _instant(value: datetime) -> np.ndarray:
    return np.datetime64(value.replace(tzinfo=None), "us")  # type: ignore[return-value]


def _parse_failure(payload: bytes | None, error: Exception) -> tuple[str, str]:
    """The reason's code and detail."""
    if payload is None or not payload.strip():
        return "empty", "the message has no value"
    if isinstance(error, UnicodeDecodeError):
        return "not_utf8", str(error)
    if isinstance(error, RecursionError):
        return "too_deep", "nested deeper than the parser allows"
    if isinstance(error, msgspec.ValidationError):
        return "wrong_type" if " - at `" in str(error) else "not_an_object", str(error)
    return "malformed_json", str(error)


def _ids(values: tuple[Any, ...], messages: np.ndarray, rejects: Rejects) -> pa.Array:
    """The event ids as text; the reasons that an id cannot be used go to `rejects`."""
    try:
        array = pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # whole numbers among them
        array = pa.array([None if v is None else str(v) for v in values], pa.string())
    if array.null_count:
        missing = array.is_null().to_numpy(zero_copy_only=False)
        rejects.add_where(missing, messages, "missing_event_id", lambda _: "the event id is null")
    length = pc.fill_null(pc.utf8_length(array), 1)
    if len(array) and pc.min(length).as_py() == 0:
        blank = pc.equal(length, 0).to_numpy(zero_copy_only=False)
        rejects.add_where(blank, messages, "missing_event_id", lambda _: "the event id is empty")
    if len(array) and pc.max(length).as_py() > ID_LIMIT:
        too_long = pc.greater(length, ID_LIMIT).to_numpy(zero_copy_only=False)
        text = f"the event id is longer than {ID_LIMIT} characters"
        rejects.add_where(too_long, messages, "event_id_too_long", lambda _: text)
    _reject_nul(EVENT_ID, array, messages, rejects)
    return array


def _times(values: tuple[Any, ...], time_format: str) -> np.ndarray:
    """Event times as datetime64[us], NaT where there is none or it cannot be read."""
    if time_format == "iso8601":
        return _iso_times(values)
    scale = _PER_SECOND[time_format]
    numbers = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    fits = np.abs(numbers) < 2**62 / scale  # False for NaN too
    exact = all(type(v) is int for v in values)
    if exact and fits.all():
        return (np.array(values, dtype=np.int64) * scale).astype("datetime64[us]")
    micros = np.where(fits, numbers, 0.0) * scale
    return np.where(
        fits, np.round(micros).astype(np.int64).astype("datetime64[us]"), np.datetime64("NaT")
    )


def _iso_times(values: tuple[Any, ...]) -> np.ndarray:
    try:  # Arrow reads only the strict form with a zone, several times faster
        array = pc.cast(pa.array(values, pa.string()), TIMESTAMP)
        return array.to_numpy(zero_copy_only=False).astype("datetime64[us]")
    except pa.ArrowInvalid:
        parsed = pd.to_datetime(pd.Series(values), format="ISO8601", utc=True, errors="coerce")
        times = parsed.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    for row in np.flatnonzero(np.isnat(times)):  # pandas ends in 2262
        times[row] = _far_time(values[row])
    return times


def _far_time(value: str | None) -> np.datetime64:
    try:
        return pa.scalar(value, pa.string()).cast(TIMESTAMP).as_py().replace(tzinfo=None)
    except (pa.ArrowInvalid, AttributeError, ValueError, OverflowError):
        return np.datetime64("NaT")


def _column(
    name: str, kind: FieldType, values: tuple[Any, ...], messages: np.ndarray, rejects: Rejects
) -> pa.Array:
    if kind == "int":
        return _int_column(name, values, messages, rejects)
    array = pa.array(values, ARROW_TYPES[kind])
    if kind == "string":
        _reject_nul(name, array, messages, rejects)
    return array


def _int_column(
    name: str, values: tuple[Any, ...], messages: np.ndarray, rejects: Rejects
) -> pa.Array:
    try:
        return pa.array(values, pa.int64())
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        pass
    whole: list[int | None] = []
    for row, value in enumerate(values):
        fits = value is None or (float(value).is_integer() and -(2**63) <= value < 2**63)
        if not fits:
            detail = f"field {name!r} is {value!r}, not a whole number of 64 bits"
            rejects.add(int(messages[row]), "wrong_type", detail)
        whole.append(int(value) if fits and value is not None else None)
    return pa.array(whole, pa.int64())


def _reject_nul(name: str, array: pa.Array, messages: np.ndarray, rejects: Rejects) -> None:
    found = pc.match_substring(array, "\0")  # PostgreSQL's text cannot hold it
    if pc.any(found).as_py():
        mask = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
        detail = f"field {name!r} has a NUL character"
        rejects.add_where(mask, messages, "nul_character", lambda _: detail)


DECODERS: dict[str, type[JsonDecoder]] = {"json": JsonDecoder}
