"""`driftline send` and `driftline labels import` put into the topics what the job accepts."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from driftline.kafka.topic import Topic


@pytest.fixture
def ready(commands: Any) -> Any:
    """The topics exist."""
    assert commands("topics", "create").exit_code == 0
    return commands


def content(commands: Any, name: str) -> list[dict[str, Any]]:
    """The messages of a topic."""
    found: list[dict[str, Any]] = []

    def add(messages: list[Message]) -> None:
        found.extend(json.loads(message.value() or b"") for message in messages)

    with Topic(commands.kafka, name) as topic:
        topic.read(topic.bounds(), add)
    return found


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "time": datetime.now(UTC).isoformat(), "amount": 2.5, **more}


def test_one_event(ready: Any) -> None:
    one = event(1)
    result = ready("send", "payments", "--event", json.dumps(one), "--json")
    assert json.loads(result.output) == {"topic": ready.events, "sent": 1}
    assert content(ready, ready.events) == [one]


@pytest.mark.parametrize("source", ["file", "standard input"])
def test_a_file_is_sent_whole_or_not_at_all(ready: Any, source: str, tmp_path: Path) -> None:
    def send(events: list[dict[str, Any]], *options: str) -> Any:
        lines = "\n".join(map(json.dumps, events)).encode()
        path = tmp_path / "events.jsonl"
        path.write_bytes(lines)
        name = "-" if source == "standard input" else str(path)
        return ready("send", "payments", name, *options, typed=lines)

    bad = [event(1), event(2, amount="much")]
    refused = send(bad)
    assert refused.exit_code == 1
    assert "1 of 2 messages would be rejected, so nothing was sent" in str(refused.exception)
    assert content(ready, ready.events) == []
    assert send(bad, "--no-check").exit_code == 0
    assert content(ready, ready.events) == bad


def test_generated_events_like_a_file(ready: Any, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps({"id": "old", "time": "2020-01-01", "amount": 7.0}))
    options = ("--like", str(path), "--drift", "amount=*2@50%", "--over", "2 h", "--seed", "3")
    sent = ready("send", "payments", "--generate", "100", "--rate", "500", *options)
    assert sent.output.strip() == f"sent 100 events to topic {ready.events!r}"
    amounts = [one["amount"] for one in content(ready, ready.events)]
    assert set(amounts) == {7.0, 14.0}


def test_events_that_are_too_old_are_not_sent(ready: Any) -> None:
    refused = ready("send", "payments", "--generate", "10", "--over", "90 d")
    assert "event_time_out_of_range" in str(refused.exception)
    assert content(ready, ready.events) == []


def test_labels(ready: Any, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("event_id,label\ne1,1\ne2,0\n")
    sent = ready("labels", "import", "payments", str(path), "--json")
    assert json.loads(sent.output) == {"topic": ready.labels, "sent": 2}
    found = {one["event_id"]: one["label"] for one in content(ready, ready.labels)}
    assert found == {"e1": True, "e2": False}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give one of: a FILE"),
        (("-", "--generate", "1"), "give one of: a FILE"),
        (("--event", "{}", "--drift", "amount=1"), "only apply to --generate"),
        (("--generate", "1", "--over", "long"), "invalid --over 'long'"),
    ],
)
def test_options_that_do_not_go_together(commands: Any, words: Any, message: str) -> None:
    assert message in str(commands("send", "payments", *words).exception)


def test_a_topic_that_does_not_exist(commands: Any) -> None:
    refused = commands("send", "payments", "--generate", "1")
    assert "run 'driftline topics create'" in str(refused.exception)
