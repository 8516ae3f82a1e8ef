"""Every message is one event or one reject, and never depends on its neighbours."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.config import AcceptedTime
from driftline.streaming.scoring.decode import ID_LIMIT, accepted
from tests.unit.streaming.decoding import ANY_TIME, NOW, Outcome, Reject, decode, event

EXPECTED_EVENT = {
    "event_id": "a",
    "event_time": datetime(2026, 1, 1, tzinfo=UTC),
    "amount": None,
    "items": None,
    "country": None,
    "new": None,
}


def kept(payload: bytes, **more: Any) -> dict[str, Any]:
    """The event that one message gives."""
    outcome = decode([payload], **more)
    assert outcome.rejects == []
    return outcome.events[0]


def refused(payload: bytes | None, **more: Any) -> tuple[str, str]:
    """Why one message is rejected: code and detail."""
    outcome = decode([payload], **more)
    assert outcome.events == {}
    [reject] = outcome.rejects
    return reject.reason, reject.detail


def test_fields_have_their_types() -> None:
    payload = event(amount="1.5", items="3", country='"de"', new="true")
    values = {"amount": 1.5, "items": 3, "country": "de", "new": True}
    assert kept(payload) == EXPECTED_EVENT | values


def test_missing_and_null_fields_are_missing() -> None:
    assert kept(event()) == EXPECTED_EVENT
    assert kept(event(amount="null", items="null", country="null", new="null")) == EXPECTED_EVENT


def test_extra_fields_are_ignored() -> None:
    assert kept(event(extra='{"a": [1, {"b": null}]}', amount="1")) == EXPECTED_EVENT | {
        "amount": 1.0
    }


def test_pretty_printed() -> None:
    text = json.dumps({"id": "a", "at": f"{NOW}Z", "amount": 1}, indent=4)
    assert kept(f"\n\t {text} \r\n".encode()) == EXPECTED_EVENT | {"amount": 1.0}


def test_the_last_of_repeated_keys_counts() -> None:
    assert kept(b'{"id": "b", "at": "2026-01-01T00:00:00Z", "id": "a"}') == EXPECTED_EVENT


def test_escaped_keys_and_values() -> None:
    payload = rb'{"\u0069d": "a", "at": "2026-01-01T00:00:00Z", "country": "\u00e9\ud83d\ude00\n"}'
    assert kept(payload) == EXPECTED_EVENT | {"country": "é😀\n"}


def test_renamed_fields() -> None:
    fields = {"age": {"type": "int", "key": "User Größe"}}
    assert kept(event(**{"User Größe": "41"}), fields=fields)["age"] == 41
    assert refused(event(**{"User Größe": "4.5"}), fields=fields) == (
        "wrong_type",
        "field 'User Größe' is 4.5: Expected a whole number of 64 bits",
    )
    assert refused(event(), fields=fields, required=["age"]) == (
        "missing_field",
        "required field 'User Größe' is missing",
    )


def test_five_megabytes() -> None:
    text = "ä" * 2_500_000
    assert kept(event(country=json.dumps(text, ensure_ascii=False)))["country"] == text
    assert kept(event(extra=f'"{"x" * 5_000_000}"')) == EXPECTED_EVENT


@pytest.mark.parametrize("payload", [None, b"", b" ", b"\n\t"])
def test_empty(payload: bytes | None) -> None:
    assert refused(payload) == ("empty", "the message is empty")


@pytest.mark.parametrize(
    ("payload", "got"),
    [
        (b"null", "null"),
        (b"[]", "array"),
        (b'[{"id": "a"}]', "array"),
        (b"5", "int"),
        (b"1.5", "float"),
        (b'"a"', "str"),
        (b"true", "bool"),
    ],
)
def test_not_an_object(payload: bytes, got: str) -> None:
    assert refused(payload) == ("not_an_object", f"Expected `object`, got `{got}`")


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        (b"hello", "JSON is malformed: invalid character"),
        (event()[:-1], "Input data was truncated"),
        (event()[:9], "Input data was truncated"),
        (event() + event(), "JSON is malformed: trailing characters"),
        (event() + b"\n" + event(), "JSON is malformed: trailing characters"),
        (event(amount="NaN"), "JSON is malformed: invalid character"),
        (event(amount="Infinity"), "JSON is malformed: invalid character"),
        (event(amount="-Infinity"), "JSON is malformed: invalid character"),
        (event(amount="1."), "JSON is malformed: invalid number"),
        (event(amount="01"), "JSON is malformed: invalid number"),
        (event(country=r'"\ud800"'), "Input data was truncated"),
        (
            event(country=r'"\ud800abcdef"'),
            "JSON is malformed: unexpected end of escaped",
        ),
        (event(country=r'"\udc00 and more"'), "JSON is malformed: invalid utf-16 surrogate pair"),
        (event(extra=r'"\ud800"'), "Input data was truncated"),
        (b"{'id': 'a'}", "JSON is malformed: object keys must be strings"),
        (b"\xef\xbb\xbf" + event(), "JSON is malformed: invalid character"),
        (event().decode().encode("utf-16"), "JSON is malformed: invalid character"),
        (b"{" * 50, "JSON is malformed: object keys must be strings"),
    ],
)
def test_malformed(payload: bytes, detail: str) -> None:
    code, text = refused(payload)
    assert (code, text[: len(detail)]) == ("malformed_json", detail)


def test_an_object_split_over_two_messages() -> None:
    whole = event(amount="1")
    outcome = decode([whole[:20], whole[20:]])
    assert outcome.events == {}
    assert outcome.rejects == [
        Reject(0, "malformed_json", "Input data was truncated"),
        Reject(1, "malformed_json", "JSON is malformed: invalid number (byte 1)"),
    ]


@pytest.mark.parametrize("key", ["extra", "country"])
@pytest.mark.parametrize("closed", [True, False])
def test_deep_nesting(key: str, closed: bool) -> None:
    nested = "[" * 100_000 + ("]" * 100_000 if closed else "")
    code, detail = refused(event(**{key: nested}))
    if key == "extra":
        assert (code, detail) == ("too_deep", "nested too deeply for the parser")
    else:
        assert (code, detail) == (
            "wrong_type",
            "field 'country': Expected `str | null`, got `array`",
        )


def test_not_utf8() -> None:
    code, detail = refused(event().replace(b'"a"', b'"\xff"'))
    assert code == "not_utf8"
    assert detail == "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("amount", '"1.5"', "Expected `float | null`, got `str`"),
        ("amount", "true", "Expected `float | null`, got `bool`"),
        ("amount", "[1]", "Expected `float | null`, got `array`"),
        ("amount", '{"eur": 1}', "Expected `float | null`, got `object`"),
        ("amount", "1e400", "Number out of range"),
        ("amount", "-1e400", "Number out of range"),
        ("items", '"5"', "Expected `int | float | null`, got `str`"),
        ("items", "true", "Expected `int | float | null`, got `bool`"),
        ("items", "9223372036854775808", "Expected `int` <= 9223372036854775807"),
        ("items", "-9223372036854775809", "Expected `int` >= -9223372036854775808"),
        ("items", "1.5", "Expected a whole number of 64 bits"),
        ("items", "-0.001", "Expected a whole number of 64 bits"),
        ("items", "1e+300", "Expected a whole number of 64 bits"),
        ("items", "9.223372036854776e+18", "Expected a whole number of 64 bits"),
        ("country", "1", "Expected `str | null`, got `int`"),
        ("country", "false", "Expected `str | null`, got `bool`"),
        ("new", "1", "Expected `bool | null`, got `int`"),
        ("new", '"true"', "Expected `bool | null`, got `str`"),
        ("id", "1.0", "Expected `int | str | null`, got `float`"),
        ("id", "true", "Expected `int | str | null`, got `bool`"),
        ("id", '["a"]', "Expected `int | str | null`, got `array`"),
        ("at", "1767225600", "Expected `str | null`, got `int`"),
    ],
)
def test_wrong_type(key: str, text: str, expected: str) -> None:
    assert refused(event(**{key: text})) == ("wrong_type", f"field {key!r} is {text}: {expected}")


def test_long_wrong_values_are_cut() -> None:
    code, detail = refused(event(amount=f'"{"x" * 1_000_000}"'))
    assert code == "wrong_type"
    assert detail == f"field 'amount' is \"{'x' * 99}: Expected `float | null`, got `str`"


def test_wrong_type_before_malformed() -> None:
    payload = event(amount='"x"')[:-1] + b", oops"
    assert refused(payload) == (
        "wrong_type",
        "field 'amount': Expected `float | null`, got `str`",
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0", 1),
        ("-0.0", 0),
        ("1e3", 1000),
        ("1e18", 10**18),
        ("-9.223372036854775808e18", -(2**63)),
    ],
)
def test_whole_numbers_may_be_written_as_floats(text: str, value: int) -> None:
    assert kept(event(items=text))["items"] == value


def test_extreme_numbers() -> None:
    assert kept(event(amount="1e308"))["amount"] == 1e308
    assert kept(event(amount="-5e-324"))["amount"] == -5e-324
    assert kept(event(amount="1e-400"))["amount"] == 0.0
    assert kept(event(amount="9007199254740993"))["amount"] == 9007199254740992.0
    assert kept(event(items=str(2**63 - 1)))["items"] == 2**63 - 1
    assert kept(event(items=str(-(2**63))))["items"] == -(2**63)


@pytest.mark.parametrize("digits", [30, 400, 4_000])
def test_huge_whole_numbers(digits: int) -> None:
    number = "1" + "0" * digits
    shown = number[:100]
    code, detail = refused(event(items=number))
    assert (code, detail) == (
        "wrong_type",
        f"field 'items' is {shown}: Expected `int` <= 9223372036854775807",
    )
    assert refused(event(at=number), time_format="epoch_s")[0] == "unreadable_event_time"


@pytest.mark.parametrize(
    ("text", "value"),
    [("5", "5"), ("-7", "-7"), ('"5"', "5"), ("1" + "0" * 30, "1" + "0" * 30), ('" "', " ")],
)
def test_ids_are_texts_or_whole_numbers(text: str, value: str) -> None:
    assert kept(event(id=text)) == EXPECTED_EVENT | {"event_id": value}


@pytest.mark.parametrize(
    ("payload", "code", "detail"),
    [
        (event(id="null"), "missing_event_id", "event id 'id' is missing"),
        (b'{"at": "2026-01-01T00:00:00Z"}', "missing_event_id", "event id 'id' is missing"),
        (b"{}", "missing_event_id", "event id 'id' is missing"),
        (event(id='""'), "missing_event_id", "event id 'id' is empty"),
        (
            event(id=f'"{"é" * (ID_LIMIT + 1)}"'),
            "event_id_too_long",
            f"event id 'id' is '{'é' * 100}'..., longer than 512 characters",
        ),
        (
            event(id="1" + "0" * ID_LIMIT),
            "event_id_too_long",
            f"event id 'id' is '1{'0' * 99}'..., longer than 512 characters",
        ),
        (
            event(id=r'"a\u0000b"'),
            "nul_character",
            r"event id 'id' is 'a\x00b': it contains a NUL character",
        ),
        (
            event(country=r'"\u0000"'),
            "nul_character",
            r"field 'country' is '\x00': it contains a NUL character",
        ),
    ],
)
def test_unusable_ids_and_texts(payload: bytes, code: str, detail: str) -> None:
    assert refused(payload) == (code, detail)


def test_an_id_may_be_as_long_as_the_limit() -> None:
    assert kept(event(id=f'"{"é" * ID_LIMIT}"'))["event_id"] == "é" * ID_LIMIT


def test_required_fields() -> None:
    payloads = [event(amount="1"), event(), event(amount="null"), event(amount="0")]
    outcome = decode(payloads, required=["amount"])
    assert list(outcome.events) == [0, 3]
    detail = "required field 'amount' is missing"
    assert outcome.rejects == [Reject(n, "missing_field", detail) for n in (1, 2)]


UTC_2 = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01 00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00.5Z", datetime(2026, 1, 1, microsecond=500_000, tzinfo=UTC)),
        ("2026-01-01T00:00:00.123456", datetime(2026, 1, 1, microsecond=123_456, tzinfo=UTC)),
        ("2026-01-01T00:00:00.1234569Z", datetime(2026, 1, 1, microsecond=123_456, tzinfo=UTC)),
        ("2026-01-01T00:00:00.999999999Z", datetime(2026, 1, 1, microsecond=999_999, tzinfo=UTC)),
        ("2026-01-01T00:00:00+02:00", datetime(2026, 1, 1, tzinfo=UTC_2)),
        ("2026-01-01T00:00:00+0200", datetime(2026, 1, 1, tzinfo=UTC_2)),
        ("2026-01-01T00:00:00+02", datetime(2026, 1, 1, tzinfo=UTC_2)),
        ("2026-01-01T00:00:00.25-23:59", datetime(2026, 1, 1, 23, 59, 0, 250_000, tzinfo=UTC)),
        ("0001-01-03T00:00:00", datetime(1, 1, 3, tzinfo=UTC)),
        ("1500-06-01T00:00:00", datetime(1500, 6, 1, tzinfo=UTC)),
        ("1500-06-01T00:00:00Z", datetime(1500, 6, 1, tzinfo=UTC)),
        ("2300-06-01T00:00:00", datetime(2300, 6, 1, tzinfo=UTC)),
        ("9999-12-29T23:59:59.999999", datetime(9999, 12, 29, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_iso_times(text: str, time: datetime) -> None:
    assert kept(event(at=f'"{text}"'), accept=ANY_TIME)["event_time"] == time


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "today",
        "NaT",
        "1767225600",
        "2026",
        "2026-01",
        "2026-1-1",
        "20260101",
        "2026-W01-1",
        "2026-001",
        "01/02/2026",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T23:59:60Z",
        "2026-01-01X00:00:00",
        "2026-01-01T00:00:00 Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+02:60",
        " 2026-01-01T00:00:00Z",
        "99999-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "２026-01-01T00:00:00Z",  # noqa: RUF001 - a digit that is not ASCII
    ],
)
def test_unreadable_iso_times(text: str) -> None:
    reason = refused(event(at=json.dumps(text, ensure_ascii=False)), accept=ANY_TIME)
    assert reason == ("unreadable_event_time", f"event time 'at' is {text!r}, not iso8601")


def test_a_long_unreadable_time_is_cut() -> None:
    assert refused(event(at=f'"{"x" * 5_000_000}"')) == (
        "unreadable_event_time",
        f"event time 'at' is {'x' * 100!r}, not iso8601",
    )


@pytest.mark.parametrize("payload", [event(at="null"), b'{"id": "a"}'])
def test_missing_times(payload: bytes) -> None:
    reason = ("missing_event_time", "event time 'at' is missing")
    assert refused(payload) == reason
    assert refused(payload, time_format="epoch_ms") == reason


@pytest.mark.parametrize(
    "text",
    [
        "2025-12-24T23:59:59.999999Z",
        "2026-01-01T00:05:00.000001Z",
        "2026-01-01T00:05:00.000001",
        "1970-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "0001-01-01T00:00:00",
        "1500-01-01",
        "2300-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999-01:00",
    ],
)
def test_times_out_of_the_accepted_range(text: str) -> None:
    reason = f"event time 'at' is {text!r}, outside the accepted range"
    assert refused(event(at=f'"{text}"')) == ("event_time_out_of_range", reason)


def test_the_accepted_range_is_around_kafkas_time() -> None:
    first, last = "2025-12-25T00:00:00Z", "2026-01-01T00:05:00Z"
    outcome = decode([event(at=f'"{text}"') for text in (first, last)])
    assert list(outcome.events) == [0, 1]


def test_a_replay_states_its_range() -> None:
    accept = {"since": "2013-04-01", "until": "2013-04-02T02:00:00+02:00"}
    times = [
        "2013-03-31T23:59:59.999999Z",
        "2013-04-01T00:00:00Z",
        "2013-04-02T00:00:00Z",
        "2013-04-02T00:00:00.000001Z",
        f"{NOW}Z",
    ]
    outcome = decode([event(at=f'"{text}"') for text in times], accept=accept)
    assert list(outcome.events) == [1, 2]
    assert {reject.reason for reject in outcome.rejects} == {"event_time_out_of_range"}


def test_no_range_reaches_beyond_what_clients_can_read() -> None:
    kafka_time = np.array(["0100-01-01", NOW, "9000-01-01"], "datetime64[us]")
    everything = AcceptedTime.model_validate({"since": "0001-01-01", "until": "9999-12-31"})
    first, last = accepted(everything, kafka_time)
    assert (first.item(), last.item()) == (datetime(1, 1, 2), datetime(9999, 12, 30))
    wide = AcceptedTime.model_validate({"past": "700000 d", "future": "700000 d"})
    first, last = accepted(wide, kafka_time)
    days = timedelta(days=700_000)
    now = datetime.fromisoformat(NOW)
    assert first.tolist()[:2] == [datetime(1, 1, 2), now - days]
    assert last.tolist()[1:] == [now + days, datetime(9999, 12, 30)]


@pytest.mark.parametrize(
    ("time_format", "text", "time"),
    [
        ("epoch_s", "1767225600", datetime(2026, 1, 1, tzinfo=UTC)),
        ("epoch_s", "1767225600.0", datetime(2026, 1, 1, tzinfo=UTC)),
        ("epoch_s", "1767225600.000001", datetime(2026, 1, 1, microsecond=1, tzinfo=UTC)),
        ("epoch_s", "0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("epoch_s", "-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("epoch_ms", "1767225600001", datetime(2026, 1, 1, microsecond=1000, tzinfo=UTC)),
        ("epoch_ms", "1767225600000.5", datetime(2026, 1, 1, microsecond=500, tzinfo=UTC)),
        ("epoch_ms", "1.7672256e12", datetime(2026, 1, 1, tzinfo=UTC)),
        ("epoch_us", "1767225600000001", datetime(2026, 1, 1, microsecond=1, tzinfo=UTC)),
        ("epoch_us", "253402127999999999", datetime(9999, 12, 29, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_epoch_times(time_format: str, text: str, time: datetime) -> None:
    decoded = kept(event(at=text), accept=ANY_TIME, time_format=time_format)
    assert decoded["event_time"] == time


@pytest.mark.parametrize(
    ("time_format", "text", "code", "shown"),
    [
        ("epoch_s", "1e308", "unreadable_event_time", "1e+308, not epoch_s"),
        ("epoch_us", "-1e308", "unreadable_event_time", "-1e+308, not epoch_us"),
        ("epoch_ms", "9223372036854775807", "unreadable_event_time", None),
        ("epoch_s", str(-(2**63)), "unreadable_event_time", None),
        ("epoch_ms", str(-(2**63)), "unreadable_event_time", None),
        ("epoch_us", str(-(2**63)), "unreadable_event_time", None),
        ("epoch_us", "4611686018427387904", "unreadable_event_time", None),
        ("epoch_us", "4611686018427387903", "event_time_out_of_range", None),
        ("epoch_us", "-4611686018427387903", "event_time_out_of_range", None),
        ("epoch_s", "253402300800", "event_time_out_of_range", None),
        ("epoch_s", "-62135596801", "event_time_out_of_range", None),
        ("epoch_s", "1" + "0" * 400, "unreadable_event_time", "1329 bits long, not epoch_s"),
    ],
)
def test_epoch_times_centuries_away(
    time_format: str, text: str, code: str, shown: str | None
) -> None:
    ends = {
        "unreadable_event_time": f"not {time_format}",
        "event_time_out_of_range": "outside the accepted range",
    }
    detail = shown or f"{text}, {ends[code]}"
    reason = refused(event(at=text), accept=ANY_TIME, time_format=time_format)
    assert reason == (code, f"event time 'at' is {detail}")


@pytest.mark.parametrize("text", ['"1767225600"', "true", "1e400", "[1]"])
def test_epoch_times_of_other_types(text: str) -> None:
    code, detail = refused(event(at=text), time_format="epoch_s")
    assert code == "wrong_type"
    assert detail.startswith(f"field 'at' is {text}: ")


def test_the_first_reason_stays() -> None:
    payload = event(id='""', at='"never"', items="1.5", country=r'"\u0000"')
    assert refused(payload) == ("missing_event_id", "event id 'id' is empty")


def test_no_messages() -> None:
    for time_format in ("iso8601", "epoch_ms"):
        assert decode([], time_format=time_format) == Outcome({}, [])


def test_nothing_but_rejects_keeps_the_schema() -> None:
    assert decode([b"", None, b"[]"]).events == {}


# What follows mixes good and bad in all ways; each message alone is the judge of the mixture.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
ISO = st.sampled_from(
    [f"{date}{time}{zone}" for date in ("2026-01-01", "1500-01-01", "0000-02-29", "9999-12-31")
     for time in ("T00:00:00", " 00:00", "T00:00:00.1234567", "T12:00:00.5", "")
     for zone in ("", "Z", "+05:30", "-0100", "+99:00")]
)  # fmt: skip
NUMBER = st.one_of(
    st.integers(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.sampled_from([1.0, 1.5, 2.0**63, 1e308, 2**53 + 1, 10**400]),
)
EVENT = st.fixed_dictionaries(
    {
        "id": st.text(max_size=3) | st.integers() | st.just("x" * (ID_LIMIT + 1)) | JSON,
        "at": ISO | st.text(max_size=3) | NUMBER | JSON,
    },
    optional={
        "amount": NUMBER | JSON,
        "items": NUMBER | JSON,
        "country": st.text(max_size=3) | JSON,
        "new": st.booleans() | JSON,
        "extra": JSON,
    },
)
GOOD = st.fixed_dictionaries(
    {"id": st.text(st.characters(min_codepoint=1, codec="utf-8"), min_size=1, max_size=3),
     "at": st.sampled_from([f"{NOW}Z", f"{NOW}+00:00", NOW, NOW[:10]])},
    optional={"items": st.sampled_from([1, 1.0, None, 2**60]), "amount": st.floats(-9, 9)},
)  # fmt: skip
MESSAGE = st.one_of(
    st.none(),
    st.binary(max_size=30),
    st.tuples(EVENT.map(json.dumps), st.integers(0, 200)).map(
        lambda cut: cut[0][: cut[1]].encode()
    ),
    EVENT.map(json.dumps).map(str.encode),
    GOOD.map(json.dumps).map(str.encode),
)
FORMATS = st.sampled_from(["iso8601", "epoch_s", "epoch_ms", "epoch_us"])
REASONS = {
    "empty",
    "not_an_object",
    "malformed_json",
    "not_utf8",
    "too_deep",
    "wrong_type",
    "missing_event_id",
    "event_id_too_long",
    "nul_character",
    "missing_field",
    "missing_event_time",
    "unreadable_event_time",
    "event_time_out_of_range",
}


@given(st.lists(MESSAGE, max_size=8), FORMATS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_each_message_has_one_outcome_whatever_its_neighbours(
    payloads: list[bytes | None], time_format: str, anywhen: bool
) -> None:
    more: dict[str, Any] = {"time_format": time_format, "required": ["amount"] if anywhen else []}
    if anywhen:
        more["accept"] = ANY_TIME
    together = decode(payloads, **more)
    rejected = [reject.message for reject in together.rejects]
    assert sorted([*together.events, *rejected]) == list(range(len(payloads)))
    assert {reject.reason for reject in together.rejects} <= REASONS
    for message, payload in enumerate(payloads):
        alone = decode([payload], **more)
        if alone.events:
            # repr: -0.0 is not 0.0
            assert repr(alone.events[0]) == repr(together.events[message])
        else:
            assert alone.rejects[0][1:] == together.rejects[rejected.index(message)][1:]


@given(st.lists(st.datetimes() | st.datetimes(timezones=st.timezones()), max_size=5))
@settings(max_examples=200, deadline=None)
def test_times_agree_with_python(times: list[datetime]) -> None:
    events = [event(at=f'"{time.isoformat()}"') for time in times]
    decoded = decode(events, accept=ANY_TIME).events
    first, last = datetime(1, 1, 2), datetime(9999, 12, 30)
    for message, time in enumerate(times):
        if (time.utcoffset() or timedelta(0)) % timedelta(minutes=1):
            continue  # a zone with seconds, of a century ago
        naive = time.replace(tzinfo=None)
        if datetime(1, 1, 3) < naive < datetime(9999, 12, 29):
            utc = naive - (time.utcoffset() or timedelta(0))
            assert first <= utc <= last
            assert decoded[message]["event_time"].replace(tzinfo=None) == utc


@given(st.lists(st.binary(), max_size=6))
@settings(max_examples=300, deadline=None)
def test_arbitrary_bytes_never_raise(payloads: list[bytes]) -> None:
    outcome = decode(payloads)
    rejected = [reject.message for reject in outcome.rejects]
    assert sorted([*outcome.events, *rejected]) == list(range(len(payloads)))


def test_types_do_not_depend_on_what_is_there() -> None:
    from driftline.streaming.scoring.decode import JsonDecoder
    from driftline.streaming.scoring.rejects import Rejects
    from tests.unit.streaming.decoding import settings as section

    decoder = JsonDecoder(section())
    for payloads in ([], [b""], [event()], [event(items="1.0"), event()]):
        times = np.full(len(payloads), np.datetime64(NOW, "us"))
        decoded = decoder(payloads, times, Rejects(payloads))
        assert decoded.events.schema == decoder.schema
        assert decoded.messages.dtype == np.int32
    assert decoder.schema == pa.schema(
        [
            ("event_id", pa.string()),
            ("event_time", pa.timestamp("us", "UTC")),
            ("amount", pa.float64()),
            ("items", pa.int64()),
            ("country", pa.string()),
            ("new", pa.bool_()),
        ]
    )
