"""The output topic is healed from the store, and nothing in it twice."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from driftline.audit import audit
from driftline.audit.republish import republish
from driftline.errors import ConfigError
from driftline.kafka.topic import Topic

MODEL = "fraud"
NOW = timedelta(0)


def records(world: Any) -> list[tuple[bytes, dict[str, Any]]]:
    found: list[tuple[bytes, dict[str, Any]]] = []

    def each(messages: list[Any]) -> None:
        found.extend((message.key(), json.loads(message.value())) for message in messages)

    with Topic(world.config.kafka, world.section.output.topic) as topic:
        topic.read(topic.bounds(), each)
    return found


def test_what_the_topic_lacks_is_published_once(world: Any) -> None:
    world.feed(20)
    world.feed(10, publish=False)
    world.sql("UPDATE driftline.prediction_fraud SET score = 'NaN' WHERE event_id = 'e21'")
    world.sql("""UPDATE driftline.prediction_fraud SET outputs = '{"p": [1]}', event_time =
                 event_time + interval '7 us' WHERE event_id = 'e22'""")
    assert republish(world.config, MODEL) == 0  # the job may be about to publish them
    assert republish(world.config, MODEL, grace=NOW) == 10
    assert republish(world.config, MODEL, grace=NOW) == 0
    found = {key: record for key, record in records(world) if key is not None}
    assert len(found) == 10
    assert found[b"e25"] == {
        "event_id": "e25",
        "event_time": "2024-03-01T00:04:10.000Z",
        "model": "fraud",
        "model_version": 1,
        "score": 0.1,
        "outputs": None,
    }
    assert found[b"e21"]["score"] is None
    assert found[b"e22"]["event_time"] == "2024-03-01T00:03:40.000007Z"
    assert json.loads(found[b"e22"]["outputs"]) == {"p": [1]}
    assert audit(world.config, MODEL, complete=True).published == 30


def test_a_range_and_everything(world: Any) -> None:
    world.feed(10)
    since = datetime(2024, 3, 1, 0, 1, tzinfo=UTC)
    until = since + timedelta(seconds=30)
    options: dict[str, Any] = {"since": since, "until": until, "grace": NOW}
    assert republish(world.config, MODEL, **options) == 0
    assert republish(world.config, MODEL, everything=True, **options) == 3
    # the two partitions are read in any order
    assert sorted(key for key, _ in records(world) if key) == [b"e6", b"e7", b"e8"]


def test_a_model_without_an_output_topic_is_refused(make_world: Callable[..., Any]) -> None:
    world = make_world(delivery=None)
    world.feed(3)
    assert audit(world.config, MODEL, complete=True).published is None
    with pytest.raises(ConfigError, match=r"'fraud' has no output topic: set models.fraud.output"):
        republish(world.config, MODEL)
