"""What somebody who names columns or categories can make of a message."""

from datetime import UTC, datetime

import pytest

from driftline.config import Input, Model, Registry
from driftline.monitors.alerts import messages
from driftline.storage.monitoring.incidents import Content

WHEN = datetime(2026, 3, 1, tzinfo=UTC)
MODEL = Model(
    input=Input(topic="t", event_id="e", event_time="t", fields={"x": "float"}),
    registry=Registry(name="m"),
)


def message(column: str, detail: str = "moved", segment: str = "") -> messages.Message:
    contributor = {
        "column": column,
        "segment": segment,
        "monitor": "psi",
        "window_seconds": 3_600,
        "value": 1.0,
        "expected": None,
        "p_value": None,
        "detail": detail,
    }
    content = Content("ticket", 1, WHEN, WHEN, "", [contributor], None)
    return messages.write("m", MODEL, 1, "drift", content, kind="fired")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028", "\x85", "\x0b"])
def test_a_name_adds_no_lines(end: str) -> None:
    plain = message("x", "moved")
    hostile = message(f"x{end}runbook: https://evil.example", f"moved{end}Bcc: all@evil.example")
    assert len(hostile.title.splitlines()) == 1
    assert len(hostile.body.splitlines()) == len(plain.body.splitlines())


def test_a_name_turns_no_text_around() -> None:
    hostile = message("x\u202egpj.exe", "\u2066moved")
    assert "\u202e" not in hostile.title + hostile.body
    assert "\u2066" not in hostile.body


def test_the_other_values_of_a_column_are_no_value() -> None:
    assert (
        "- x in the other values of country: moved" in message("x", segment="country=<other>").body
    )
    assert "- x in country=other: moved" in message("x", segment="country=other").body
    assert "- x in country=\\<other>: moved" in message("x", segment="country=\\<other>").body


def test_a_long_name_is_cut() -> None:
    hostile = message("x" * 10_000)
    assert len(hostile.title) < 1_100
    assert max(map(len, hostile.body.splitlines())) < 1_100
