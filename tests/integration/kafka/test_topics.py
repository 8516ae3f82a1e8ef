"""`driftline topics create | check` against a real broker."""

import json
from typing import Any


def test_plan_create_check(commands: Any) -> None:
    planned = commands("topics", "create", "--plan")
    assert planned.exit_code == 2, planned.output
    assert f"would create {commands.events}: events of payments" in planned.output
    missing = commands("topics", "check")
    assert missing.exit_code == 1
    assert "does not exist" in missing.output

    created = commands(
        "topics", "create", "payments", "--partitions", "3", "--retention", "14 d", "--json"
    )
    assert created.exit_code == 0, created.output
    names = [commands.events, commands.scored, commands.labels]
    assert json.loads(created.output) == {"created": names, "unchanged": {}}
    topic = commands.admin.list_topics(timeout=30).topics[commands.events]
    assert len(topic.partitions) == 3
    assert commands.setting(commands.events, "retention.ms") == str(14 * 86_400_000)

    assert commands("topics", "create", "--plan").exit_code == 0
    assert commands("topics", "check").exit_code == 0


def test_what_exists_is_kept_and_the_difference_is_reported(commands: Any) -> None:
    commands.topic(commands.events, **{"max.message.bytes": "2000000"})
    created = commands(
        "topics", "create", "--partitions", "4", "--max-message-size", "5000000", "--json"
    )
    content = json.loads(created.output)
    assert content["created"] == [commands.scored, commands.labels]
    assert content["unchanged"] == {
        commands.events: [
            "partitions: 2, requested 4",
            "max message size: 2000000, requested 5000000",
        ]
    }
    assert commands.setting(commands.scored, "max.message.bytes") == "5000000"
    assert len(commands.admin.list_topics(timeout=30).topics[commands.events].partitions) == 2


def test_topics_that_lose_records(make_commands: Any) -> None:
    commands = make_commands(parallelism=3)
    commands.topic(commands.events, **{"cleanup.policy": "compact", "retention.ms": "60000"})
    commands.topic(commands.scored, **{"cleanup.policy": "compact"})
    commands.topic(commands.labels)
    checked = commands("topics", "check", "--json")
    assert checked.exit_code == 1
    content = json.loads(checked.output)
    assert [problem.split(":")[0] for problem in content[commands.events]] == [
        "is compacted, so Kafka may delete unread records",
        "2 partitions for 3 readers",
        "records expire after 60 s",
    ]
    assert content[commands.scored] == content[commands.labels] == []


def test_a_refused_setting_names_the_topic(commands: Any) -> None:
    refused = commands("topics", "create", "--replication", "7")
    assert refused.exit_code == 1
    assert f"can't create topic '{commands.events}'" in str(refused.exception)


def test_an_unknown_model(commands: Any) -> None:
    assert "no model 'other'" in str(commands("topics", "check", "other").exception)
