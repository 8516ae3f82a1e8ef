"""Decodes messages into typed columns; a message that cannot be decoded is rejected with a reason.

Parsing is the only loop over rows on the hot path; everything after it works on whole columns.
"""

import contextlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from driftline.config import AcceptedTime, EventField, FieldType, Input
from driftline.names import EVENT_ID, EVENT_TIME
from driftline.streaming.scoring.rejects import Rejects

ID_LIMIT = 512  # characters; PostgreSQL limits a B-tree entry to a third of a page
VALUE_LIMIT = 100  # characters of a value that an error shows

ARROW_TYPES: dict[FieldType, pa.DataType] = {
    "int": pa.int64(),
    "float": pa.float64(),
    "string": pa.string(),
    "bool": pa.bool_(),
}
TIMESTAMP = pa.timestamp("us", tz="UTC")

_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
# Many producers write whole numbers as 1.0, which is accepted; 1.5 is rejected after parsing.
_PARSED: dict[FieldType, Any] = {
    "int": _Int64 | float | None,
    "float": float | None,
    "string": str | None,
    "bool": bool | None,
}
_TENSOR = pa.float32()  # type of a tensor's numbers
_INDEXES = re.compile(r"(\[(\d+|\.\.\.)\])+$")
_WRONG_LENGTH = " of length "  # in msgspec's error for a list that is too short or too long
_SCALE = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}  # microseconds
_NOT_A_TIME = np.datetime64("NaT", "us")
# `datetime.fromisoformat` alone would accept any character between date and time.
_ISO = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?(?P<zone>Z|[+-]\d\d(:?[0-5]\d)?)?)?", re.ASCII
)
# What `datetime` can hold in any time zone: database clients cannot read other times.
_FIRST, _LAST = np.datetime64("0001-01-02", "us"), np.datetime64("9999-12-30", "us")
_PARSE_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError)


@dataclass(frozen=True)
class Decoded:
    """The decoded events of a batch.

    Attributes:
        events: m rows with event_id, event_time, then the declared fields.
        messages: int32[m], the message of each event, ascending.
    """

    events: pa.RecordBatch
    messages: NDArray[Any]


class JsonDecoder:
    """Decodes JSON objects into the declared fields.

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
        types: dict[str, Any] = {keys[name]: _parsed(field) for name, field in fields.items()}
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
        self._decode: Callable[[Any], Any] = msgspec.json.Decoder(struct).decode
        self._columns = {key: attrgetter(attribute) for key, attribute in attributes.items()}
        self._keys = keys
        self.schema = pa.schema(
            [
                pa.field(EVENT_ID, pa.string()),
                pa.field(EVENT_TIME, TIMESTAMP),
                *(pa.field(name, arrow_type(field)) for name, field in fields.items()),
            ]
        )

    def __call__(
        self, payloads: Sequence[bytes | None], kafka_time: NDArray[Any], rejects: Rejects
    ) -> Decoded:
        """Decode n payloads; those that cannot be decoded are added to `rejects`.

        Parameters:
            payloads: the values of n messages, None for a tombstone.
            kafka_time: datetime64[us][n], UTC.
            rejects: collects the rejects of these payloads.
        """
        parsed, messages = self._parse(payloads, rejects)
        # column by column: a tuple for each message would trigger the garbage collector again
        # and again, which takes longer than parsing
        columns = {key: tuple(map(get, parsed)) for key, get in self._columns.items()}
        key = self._settings.event_id
        ids = _ids(key, columns[key], messages, rejects)
        times = _times(columns[self._settings.event_time], self._settings.time_format)
        self._check_times(times, columns, messages, kafka_time, rejects)
        arrays = [ids, pa.array(times.astype("datetime64[us]"), TIMESTAMP, from_pandas=True)]
        for name, field in self._settings.fields.items():
            key = self._keys[name]
            values = columns[key]
            array = _column(key, field, values, messages, rejects)
            if name in self._settings.required:
                _reject_missing(key, array, messages, rejects)
            arrays.append(array)
        events = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        if rejects:  # events that parsed may have been rejected since
            accepted_rows = rejects.accepted(messages)
            events, messages = events.filter(pa.array(accepted_rows)), messages[accepted_rows]
        return Decoded(events, messages)

    def _parse(
        self, payloads: Sequence[bytes | None], rejects: Rejects
    ) -> tuple[list[Any], NDArray[Any]]:
        parsed: list[Any] = []
        bad: list[int] = []
        remaining = iter(payloads)
        while True:
            try:  # after a failure, `parsed` keeps what came before and the iterator continues
                parsed.extend(map(self._decode, remaining))
                break
            except _PARSE_ERRORS as error:
                message = len(parsed) + len(bad)
                bad.append(message)
                rejects.add(message, *_parse_failure(payloads[message], error))
        messages = np.arange(len(payloads), dtype=np.int32)
        return parsed, np.delete(messages, bad) if bad else messages

    def _check_times(
        self,
        times: NDArray[Any],
        columns: Mapping[str, tuple[Any, ...]],
        messages: NDArray[Any],
        kafka_time: NDArray[Any],
        rejects: Rejects,
    ) -> None:
        key = self._settings.event_time
        raw = columns[key]
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
                lambda row: f"event time {key!r} is {_shown(raw[row])}, not {expected}",
            )
        first, last = accepted(self._settings.accept, kafka_time[messages])
        rejects.add_where(
            ~unknown & ((times < first) | (times > last)),
            messages,
            "event_time_out_of_range",
            lambda row: f"event time {key!r} is {_shown(raw[row])}, outside the accepted range",
        )


def arrow_type(field: EventField) -> pa.DataType:
    """The type of a field's column; a tensor is a fixed-size list in row-major order."""
    if field.type == "tensor":
        return pa.list_(_TENSOR, math.prod(field.shape or ()))
    return ARROW_TYPES[field.type]


def is_tensor(kind: pa.DataType) -> bool:
    """Whether a column type is that of a tensor, see `arrow_type`."""
    return bool(pa.types.is_fixed_size_list(kind) and kind.value_type == _TENSOR)


def accepted(accept: AcceptedTime, kafka_time: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """First and last accepted event time of each message, datetime64[us]."""
    if accept.since is not None and accept.until is not None:
        first, last = _instant(accept.since), _instant(accept.until)
    else:
        first = kafka_time - np.timedelta64(accept.past)
        last = kafka_time + np.timedelta64(accept.future)
    return np.maximum(first, _FIRST), np.minimum(last, _LAST)


def _instant(value: datetime) -> NDArray[Any]:
    return np.datetime64(value.replace(tzinfo=None), "us")  # type: ignore[return-value]


def _parse_failure(payload: bytes | None, error: Exception) -> tuple[str, str]:
    """Code and detail of the reason."""
    if payload is None or not payload.strip():
        return "empty", "the message is empty"
    if isinstance(error, UnicodeDecodeError):
        return "not_utf8", str(error)
    if isinstance(error, RecursionError):
        return "too_deep", "nested too deeply for the parser"
    if isinstance(error, msgspec.ValidationError):
        return _wrong_type(payload, str(error))
    return "malformed_json", str(error)


def _wrong_type(payload: bytes, error: str) -> tuple[str, str]:
    expected, at_field, path = error.partition(" - at `$.")
    if not at_field:
        return "not_an_object", error
    detail = _field_detail(payload, path.removesuffix("`"), expected)
    if _WRONG_LENGTH in expected:
        return "wrong_shape", detail
    return "wrong_type", detail


def _field_detail(payload: bytes, path: str, expected: str) -> str:
    try:
        values = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    except _PARSE_ERRORS:  # the message is malformed after the wrong value
        return f"field {path!r}: {expected}"
    key = path if path in values else _INDEXES.sub("", path)  # a tensor's path ends in indexes
    shown = bytes(memoryview(values[key])[:VALUE_LIMIT]).decode(errors="replace")
    index = "" if key == path else f", at {path.removeprefix(key)}"
    return f"field {key!r} is {shown}{index}: {expected}"


def _shown(value: object) -> str:
    """A value as an error shows it, shortened: it may be megabytes long."""
    if isinstance(value, int):
        return str(value) if abs(value) < 10**VALUE_LIMIT else f"{value.bit_length()} bits long"
    return repr(value[:VALUE_LIMIT] if isinstance(value, str) else value)


def _ids(key: str, values: tuple[Any, ...], messages: NDArray[Any], rejects: Rejects) -> pa.Array:
    """The event ids as text; ids that cannot be used are added to `rejects`."""
    try:
        array = pa.array(values, pa.string())
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # some ids are whole numbers
        array = pa.array([None if v is None else str(v) for v in values], pa.string())

    def reject(mask: pa.Array, code: str, detail: Callable[[int], str]) -> None:
        rejects.add_where(_mask(mask), messages, code, detail)

    if array.null_count:
        reject(array.is_null(), "missing_event_id", lambda _: f"event id {key!r} is missing")
    length = pc.utf8_length(array)
    shortest, longest = pc.min_max(length).as_py().values()
    if shortest == 0:
        reject(pc.equal(length, 0), "missing_event_id", lambda _: f"event id {key!r} is empty")
    if longest is not None and longest > ID_LIMIT:
        detail = f"event id {key!r} is {{}}..., longer than {ID_LIMIT} characters"
        reject(
            pc.greater(length, ID_LIMIT),
            "event_id_too_long",
            lambda row: detail.format(repr(array[row].as_py()[:VALUE_LIMIT])),
        )
    reject_nul(f"event id {key!r}", array, messages, rejects)
    return array


def _times(values: tuple[Any, ...], time_format: str) -> NDArray[Any]:
    """Event times as datetime64[us][n], NaT for those that are missing or cannot be read.

    Other values of the batch affect how fast a value is read, never what it means.
    """
    if time_format == "iso8601":
        return _iso_times(values)
    scale = _SCALE[time_format]
    if set(map(type, values)) == {int}:
        with contextlib.suppress(OverflowError):
            numbers = np.array(values, dtype=np.int64)
            limit = 2**62 // scale  # not compared with absolute values: -2**63 has none
            if -limit < numbers.min() and numbers.max() < limit:
                return (numbers * scale).astype("datetime64[us]")
    return np.array([_epoch_time(value, scale) for value in values], dtype="datetime64[us]")


def _epoch_time(value: float | None, scale: int) -> np.datetime64:
    if value is None or not abs(value) < 2**62 // scale:
        return _NOT_A_TIME
    return np.datetime64(round(value * scale), "us")


def _iso_times(values: tuple[Any, ...]) -> NDArray[Any]:
    texts = pa.array(values, pa.string())
    # Arrow is several times faster, but reads only the strict form with a zone
    for zone in ("", "Z"):
        with contextlib.suppress(pa.ArrowInvalid):
            return _arrow_times(pc.binary_join_element_wise(texts, zone, ""))
    return np.array([_iso_time(value) for value in values], dtype="datetime64[us]")


def _arrow_times(texts: pa.Array) -> NDArray[Any]:
    times: NDArray[Any] = pc.cast(texts, TIMESTAMP).to_numpy(zero_copy_only=False)
    return times.astype("datetime64[us]")


def _iso_time(value: str | None) -> np.datetime64 | datetime:
    """Read one time; without a zone it is UTC."""
    parts = None if value is None else _ISO.fullmatch(value)
    if value is None or parts is None:
        return _NOT_A_TIME
    try:
        time = datetime.fromisoformat(value)
        return time.replace(tzinfo=None) - (time.utcoffset() or timedelta(0))
    except (ValueError, OverflowError):
        pass
    try:  # the year 0
        text = value if parts["zone"] else value + "Z"
        time_us: np.datetime64 = _arrow_times(pa.array([text]))[0]
        return time_us
    except pa.ArrowInvalid:
        return _NOT_A_TIME


def _parsed(field: EventField) -> Any:
    """The type that the parser expects for a field; a tensor is nested lists of fixed lengths."""
    if field.type != "tensor":
        return _PARSED[field.type]
    kind: Any = float
    for size in reversed(field.shape or ()):
        kind = Annotated[list[kind], msgspec.Meta(min_length=size, max_length=size)]
    return kind | None


def _tensors(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    """Nested lists as a column; the parser has checked that they have one shape."""
    missing = np.fromiter((value is None for value in values), dtype=bool, count=len(values))
    numbers = np.zeros((len(values), kind.list_size), dtype=np.float32)
    if not missing.all():
        present = [value for value in values if value is not None]
        with np.errstate(over="ignore"):  # 1e308 becomes infinity; the score shows the effect
            numbers[~missing] = np.array(present, dtype=np.float32).reshape(len(present), -1)
    column = pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), kind.list_size)
    if not missing.any():
        return column
    return pc.if_else(pa.array(missing), pa.scalar(None, kind), column)


def _column(
    key: str,
    field: EventField,
    values: tuple[Any, ...],
    messages: NDArray[Any],
    rejects: Rejects,
) -> pa.Array:
    if field.type == "tensor":
        return _tensors(values, arrow_type(field))
    if field.type == "int" and float in set(map(type, values)):
        values = _whole(key, values, messages, rejects)
    array = pa.array(values, ARROW_TYPES[field.type])
    if field.type == "string":
        reject_nul(f"field {key!r}", array, messages, rejects)
    return array


def _whole(
    key: str, values: tuple[Any, ...], messages: NDArray[Any], rejects: Rejects
) -> tuple[int | None, ...]:
    """Convert numbers such as 1.0 to whole numbers; reject those with a fraction."""
    whole: list[int | None] = []
    for row, value in enumerate(values):
        fits = value is None or (float(value).is_integer() and -(2**63) <= value < 2**63)
        if not fits:
            detail = f"field {key!r} is {value!r}: Expected a whole number of 64 bits"
            rejects.add(int(messages[row]), "wrong_type", detail)
        whole.append(int(value) if fits and value is not None else None)
    return tuple(whole)


def _reject_missing(key: str, array: pa.Array, messages: NDArray[Any], rejects: Rejects) -> None:
    text = f"required field {key!r} is missing"
    rejects.add_where(_mask(array.is_null()), messages, "missing_field", lambda _: text)


def reject_nul(label: str, array: pa.Array, messages: NDArray[Any], rejects: Rejects) -> None:
    """Reject texts with a NUL character, which PostgreSQL cannot store."""
    has_nul = pc.match_substring(array, "\0")
    if pc.any(has_nul).as_py():
        rejects.add_where(
            _mask(has_nul),
            messages,
            "nul_character",
            lambda row: f"{label} is {_shown(array[row].as_py())}: it contains a NUL character",
        )


def _mask(condition: pa.Array) -> NDArray[Any]:
    mask: NDArray[Any] = pc.fill_null(condition, False).to_numpy(zero_copy_only=False)
    return mask


DECODERS: dict[str, type[JsonDecoder]] = {"json": JsonDecoder}
