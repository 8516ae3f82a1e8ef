"""Whatever comes in, each message ends in one outcome with its reason, and the worker lives on."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from driftline.config import Config
from tests import neighbours
from tests.integration.job import feed
from tests.integration.job.conftest import World
from tests.integration.job.running import Running, proof, rows

MODEL = "bad"
NOW = datetime.now(UTC).replace(microsecond=0)
GOOD = 2_000  # ordinary events around the others
PARTITIONS = 3  # the last one stays idle
MEGABYTES = 5_000_000


@dataclass(frozen=True)
class Case:
    """A message, and what becomes of it: logged, duplicate, or the reason of its rejection."""

    value: bytes | None
    outcome: str


def event(**fields: Any) -> dict[str, Any]:
    return {"id": "x", "at": at(0), "amount": 1.5, "items": 1, "country": "de"} | fields


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def text(**fields: Any) -> bytes:
    """An event as JSON."""
    return json.dumps(event(**fields), ensure_ascii=False).encode()


def raw(key: str, value: str, id_: str = "x") -> bytes:
    """An event with one value written as it is given."""
    return text(**{"id": id_, key: "@"}).replace(b'"@"', value.encode())


def without(key: str, id_: str = "x") -> bytes:
    return json.dumps({k: v for k, v in event(id=id_).items() if k != key}).encode()


SPLIT = text(id="split")
NESTED = "[" * 200_000 + "]" * 200_000

CASES = [
    Case(None, "empty"),
    Case(b"", "empty"),
    Case(b"   \n", "empty"),
    Case(b"null", "not_an_object"),
    Case(b"[" + text() + b"]", "not_an_object"),
    Case(b"17", "not_an_object"),
    Case(b"hello", "malformed_json"),
    Case(text()[:-9], "malformed_json"),
    Case(text(id="one") + text(id="two"), "malformed_json"),
    Case(text(id="one") + b"\n" + text(id="two"), "malformed_json"),
    Case(SPLIT[:9], "malformed_json"),
    Case(SPLIT[9:], "malformed_json"),
    Case(json.dumps(event(id="pretty"), indent=4).encode(), "logged"),
    Case(raw("more", NESTED), "too_deep"),
    Case(raw("country", NESTED), "wrong_type"),
    Case(text().replace(b'"x"', b'"\xff\xfe"'), "not_utf8"),
    Case(text(country="\0"), "nul_character"),
    Case(text(amount="1.5"), "wrong_type"),
    Case(text(items=1.5), "wrong_type"),
    Case(text(items=2**63), "wrong_type"),
    Case(text(id="whole", items=1.0), "logged"),
    Case(raw("amount", "NaN"), "malformed_json"),
    Case(raw("amount", "-Infinity"), "malformed_json"),
    Case(raw("amount", "1e400"), "wrong_type"),
    Case(text(id="huge", amount=1e308), "not_finite_score"),
    Case(text(id="large", amount=1e30), "logged"),
    Case(without("amount", "no amount"), "logged"),
    Case(text(id="null amount", amount=None), "logged"),
    Case(without("country"), "missing_field"),
    Case(without("items"), "missing_feature"),
    Case(text(id="extra", more={"a": [1, {}]}), "logged"),
    Case(text(id="big", more="x" * MEGABYTES), "logged"),
    Case(text(id="big text", country="ä" * (MEGABYTES // 2)), "logged"),
    Case(b"x" * MEGABYTES, "malformed_json"),
    Case(text(id=None), "missing_event_id"),
    Case(without("id"), "missing_event_id"),
    Case(text(id=""), "missing_event_id"),
    Case(text(id="x" * 600), "event_id_too_long"),
    Case(text(id=123), "logged"),
    Case(text(id="123"), "duplicate"),
    Case(text(id="same"), "logged"),
    Case(text(id="same"), "duplicate"),
    Case(text(id="same", amount=99.0), "duplicate"),
    Case(text(id="same", at=at(-1)), "logged"),
    Case(text(at=None), "missing_event_time"),
    Case(without("at"), "missing_event_time"),
    Case(text(at="yesterday"), "unreadable_event_time"),
    Case(text(at="2024-02-30T00:00:00Z"), "unreadable_event_time"),
    Case(text(id="days ago", at=at(-5 * 86_400)), "logged"),
    Case(text(id="zone", at="2024-01-01T00:00:00+25:00"), "unreadable_event_time"),
    Case(text(at=at(-8 * 86_400)), "event_time_out_of_range"),
    Case(text(at=at(86_400)), "event_time_out_of_range"),
    Case(text(at="9999-12-31T23:59:59Z"), "event_time_out_of_range"),
    Case(text(at="0001-01-01T00:00:00Z"), "event_time_out_of_range"),
    Case(text(at="2624-01-01T00:00:00Z"), "event_time_out_of_range"),
    Case(text(at="1424-01-01T00:00:00Z"), "event_time_out_of_range"),
]


def test_every_bad_message_has_one_outcome_and_no_worker_dies(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the transform, also in the workers, has packages of its own with the names of our folders
    monkeypatch.setenv("PYTHONPATH", str(neighbours.write(tmp_path)), prepend=os.pathsep)
    monkeypatch.syspath_prepend(tmp_path)
    section = world.section(MODEL, stream={"batch_rows": 500})
    section["features"] = {"transform": neighbours.TRANSFORM}
    section["input"] |= {"time_format": "iso8601", "required": ["country"]}
    section["input"].pop("accept")  # the default: around Kafka's own timestamp
    path = world.write(MODEL, section)
    kafka = world.config.local_kafka()
    topics = [world.topic(MODEL, "events"), world.topic(MODEL, "scored")]
    feed.make_topics(kafka, topics, PARTITIONS)
    with Running(path, MODEL) as job:
        good = [text(id=f"good{number}", at=at(-number)) for number in range(GOOD)]
        feed.produce(kafka, topics[0], good[: GOOD // 2])
        job.wait_until_settled(GOOD // 2)
        workers = job.pids()["worker"]
        offsets = send(world, topics[0])
        feed.produce(kafka, topics[0], good[GOOD // 2 :])
        job.wait_until_settled(GOOD + len(CASES))
        assert workers == job.pids()["worker"] != []
        job.drain()
    outcomes_by_position = outcomes(world.config, MODEL)
    case_outcomes = [(case, outcomes_by_position.pop((0, offset))) for case, offset in offsets]
    assert [(shown(case), got) for case, got in case_outcomes if got != [case.outcome]] == []
    assert list(outcomes_by_position.values()) == [["logged"]] * GOOD
    report = proof(world.config.model_copy(update={"models": job.config.models}), MODEL)
    assert report.events.read == GOOD + len(CASES)
    kept_whole(world.config, MODEL, [case for case, _ in offsets])


def shown(case: Case) -> bytes:
    return (case.value or b"")[:150]


def send(world: World, topic: str) -> list[tuple[Case, int]]:
    """Send all cases to the first partition, in their order; gives their offsets."""
    offsets: list[int] = []

    def delivered(error: Any, message: Message) -> None:
        assert error is None, error
        offset = message.offset()
        assert offset is not None
        offsets.append(offset)

    producer = feed.make_producer(world.config.local_kafka())
    for case in CASES:
        producer.produce(topic, case.value, partition=0, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(120) == 0
    return list(zip(CASES, offsets, strict=True))


def outcomes(config: Config, model: str) -> dict[tuple[int, int], list[str]]:
    """What became of each message, by partition and offset: exactly one thing, one hopes."""
    by_position: dict[tuple[int, int], list[str]] = {}
    for partition, offset, outcome in rows(
        config,
        f"""SELECT s.partition, o.kafka_offset, o.outcome FROM driftline.source s JOIN (
              SELECT source, kafka_offset, 'logged' AS outcome FROM driftline.prediction_{model}
              UNION ALL SELECT source, kafka_offset, 'duplicate' FROM driftline.duplicate
              UNION ALL SELECT source, kafka_offset, reason FROM driftline.rejected
            ) o ON o.source = s.id WHERE s.model = %s AND s.stream = 'events'""",
        model,
    ):
        by_position.setdefault((partition, offset), []).append(outcome)
    return by_position


def kept_whole(config: Config, model: str, cases: list[Case]) -> None:
    """The rejected messages are in the store byte by byte, each with a sentence."""
    expected = [case.value for case in cases if case.outcome not in ("logged", "duplicate")]
    stored = rows(
        config,
        """SELECT r.payload, r.detail FROM driftline.rejected r JOIN driftline.source s
               ON s.id = r.source WHERE s.model = %s ORDER BY r.kafka_offset""",
        model,
    )
    assert [payload for payload, _ in stored] == expected
    assert all(detail for _, detail in stored)
