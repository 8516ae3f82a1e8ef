"""The commands, on real services: what they print and their exit codes."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource
from typer.testing import CliRunner, Result

from driftline.cli import store
from driftline.errors import RegistryError
from driftline.kafka.client_settings import librdkafka
from driftline.kafka.topic import Topic
from driftline.storage.connection import connect
from driftline.storage.versions import versions
from driftline.storage.versions.versions import ModelVersion

MODEL = "fraud"

app = typer.Typer()
for command in (store.audit, store.explain, store.republish, store.compact):
    app.command()(command)
app.add_typer(store.rejected, name="rejected")


@pytest.fixture
def run(world: Any, tmp_path: Path) -> Any:
    """Runs a command with the world's config written to a file."""
    world.feed(20, rejected=2)
    content = json.loads(world.config.model_dump_json(exclude_none=True))
    path = tmp_path / "driftline.yaml"
    path.write_text(yaml.safe_dump(content))

    def invoke(*arguments: str) -> Result:
        environment = {**os.environ, "COLUMNS": "200", "DRIFTLINE_CONFIG": str(path)}
        return CliRunner(env=environment).invoke(app, list(arguments))

    return invoke


def test_audit(world: Any, run: Any) -> None:
    result = run("audit", MODEL, "--deep", "--complete")
    assert result.exit_code == 0, result.output
    assert "logged 18 = profiled 18 (every cell) = published 18  consistent" in result.output
    assert run("audit", MODEL, "--until", "2020-01-01", "--json").exit_code == 0
    world.sql("DELETE FROM driftline.prediction_fraud WHERE event_id = 'e7'")
    result = run("audit", MODEL)
    assert result.exit_code == 1
    assert "1 logged rows are missing" in result.output
    assert "; offsets 7\n" in result.output
    content = json.loads(run("audit", MODEL, "--json").output)
    assert content["ok"] is False


def test_rejected(run: Any) -> None:
    content = json.loads(run("rejected", "list", MODEL, "--json").output)
    assert content["reasons"] == [
        {"stream": "events", "reason": "not json", "messages": 2, "replayed": 0}
    ]
    assert [one["offset"] for one in content["messages"]] == [19, 18]
    assert json.loads(content["messages"][0]["payload"])["event_id"] == "e19"
    assert "[0]:19" in run("rejected", "list", MODEL).output
    assert "sent 0" in run("rejected", "replay", MODEL, "--reason", "other").output
    assert json.loads(run("rejected", "replay", MODEL, "--json").output) == {
        "sent": 2,
        "without_value": 0,
    }
    assert "sent 0" in run("rejected", "replay", MODEL).output


FAR = {  # Kafka's milliseconds, and how PostgreSQL writes them
    "12026-01-01 00:00:00+00": 317_336_745_600_000,
    "290000-01-01 00:00:00+00": 9_089_348_860_800_000,
    "0001-01-01 00:00:00+00 BC": -62_167_219_200_000,
}


@pytest.mark.parametrize("time", FAR)
def test_kafka_times_of_no_year_that_python_has(world: Any, run: Any, time: str) -> None:
    world.sql(f"UPDATE driftline.prediction_fraud SET kafka_time = '{time}'")
    world.sql(f"UPDATE driftline.rejected SET kafka_time = '{time}'")
    [event] = world.sql("SELECT max(event_id) FROM driftline.prediction_fraud")
    [one] = json.loads(run("explain", *event, "--json").stdout)
    assert one["message"]["time"] == time
    assert time in run("explain", *event).output
    listed = json.loads(run("rejected", "list", MODEL, "--json").output)["messages"]
    assert {(one["kafka_time"], one["kafka_ms"]) for one in listed} == {(time, FAR[time])}
    assert "not json" in run("rejected", "list", MODEL).output
    assert run("audit", MODEL, "--deep").exit_code == 0


def test_a_replay_keeps_a_time_of_no_year_that_python_has(world: Any, run: Any) -> None:
    time = next(iter(FAR))
    world.sql(f"UPDATE driftline.rejected SET kafka_time = '{time}'")
    # brokers of today refuse such times, unless the topic is told to take them
    topic_takes_any_time = ConfigResource(
        ConfigResource.Type.TOPIC,
        world.section.input.topic,
        incremental_configs=[
            ConfigEntry(
                "message.timestamp.after.max.ms",
                str(2**63 - 1),
                incremental_operation=AlterConfigOpType.SET,
            )
        ],
    )
    admin = AdminClient(librdkafka(world.config.kafka))
    for change in admin.incremental_alter_configs([topic_takes_any_time]).values():
        change.result(30)
    assert run("rejected", "replay", MODEL).exit_code == 0
    times: set[int] = set()
    with Topic(world.config.kafka, world.section.input.topic) as topic:
        topic.read(topic.bounds(), lambda some: times.update(m.timestamp()[1] for m in some))
    assert FAR[time] in times


def test_republish_and_compact(world: Any, run: Any) -> None:
    world.feed(5, publish=False)
    assert json.loads(run("republish", MODEL, "--json").output) == {"published": 0}
    assert json.loads(run("republish", MODEL, "--job-stopped", "--json").output) == {"published": 5}
    done = json.loads(run("compact", MODEL, "--json").output)
    assert (done["model"], done["ledger_days"]) == (MODEL, 0)
    world.feed(5)  # ends the minute that the five before began
    done = json.loads(run("compact", MODEL, "--json").output)
    assert (done["profile_rows"], done["merged_to"]) == (2, 1)
    assert run("audit", MODEL, "--deep").exit_code == 0


def test_explain_names_the_feature_definition_of_the_time(world: Any, run: Any) -> None:
    def hash_now() -> str:
        return str(json.loads(run("explain", "e1", "--json").stdout)[0]["version"]["features_hash"])

    known = ModelVersion(MODEL, 1, "run", "sha", {}, "first", world.binning, b"", 0)
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        versions.record(connection, known)
        assert hash_now() == "first"
        for _ in range(2):
            versions.record(connection, replace(known, features_hash="second"))
        assert hash_now() == "first"
        world.sql("UPDATE driftline.model_definition SET since = '2020-01-01'")
        assert hash_now() == "second"
        versions.record(connection, known)
    hashes = world.sql("SELECT features_hash FROM driftline.model_definition ORDER BY since")
    assert hashes == [("second",), ("first",)]


def test_a_number_that_means_other_files_now_is_refused(world: Any) -> None:
    known = ModelVersion(MODEL, 7, "run", "sha", {}, "first", world.binning, b"", 0)
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        versions.record(connection, known)
        with pytest.raises(RegistryError, match="loaded before with other files: the registered"):
            versions.record(connection, replace(known, run_id="other", digest="other"))
        assert versions.stored(connection, MODEL)[7] == ("run", "sha")


def test_explain_says_where_a_prediction_comes_from(world: Any, run: Any) -> None:
    world.sql(
        "INSERT INTO driftline.promotion (model, version, kind, decided_by, decided_at)"
        f" VALUES ('{MODEL}', 1, 'first', 'ada', '2020-01-01')"
    )
    world.sql(
        f"INSERT INTO driftline.shadow_{MODEL} (event_time, event_id, model_version, role, score,"
        " source, kafka_offset, scored_at, inference_ms) SELECT event_time, event_id, 2, 'shadow',"
        f" 0.75, source, kafka_offset, scored_at, 1 FROM driftline.prediction_{MODEL}"
        " WHERE event_id = 'e1'"
    )
    world.sql(
        "INSERT INTO driftline.model_version (model, version, run_id, digest, signature,"
        f" features_hash, binning_id) VALUES ('{MODEL}', 2, 'run 2', 'sha 2', '{{}}', 'f', 'b')"
    )
    found = json.loads(run("explain", "e1", "--json").stdout)
    assert len(found) == 1
    one = found[0]
    (row,) = world.sql(
        f"SELECT kafka_offset, score FROM driftline.prediction_{MODEL} WHERE event_id = 'e1'"
    )
    assert (one["message"]["offset"], one["prediction"]["score"]) == row
    assert one["message"]["topic"] == world.section.input.topic
    assert set(one["features"]) == {"amount", "items", "country"}
    assert one["decision"]["decided_by"] == "ada"
    (shadow,) = one["shadows"]
    assert (shadow["model_version"], shadow["score"]) == (2, 0.75)
    assert (shadow["run_id"], shadow["digest"]) == ("run 2", "sha 2")
    shown = run("explain", "e1", "--model", MODEL).stdout
    assert "prediction score" in shown
    assert "shadow" in shown
    result = run("explain", "nobody")
    assert result.exit_code == 1
    assert "no prediction of event 'nobody' is stored" in str(result.exception)
    assert run("explain", "e1", "--since", "2030-01-01").exit_code == 1
