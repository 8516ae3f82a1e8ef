"""Versions change under a stream in full flow: no event is lost, doubled, or scored by neither."""

import json
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition

from driftline.config import load
from driftline.kafka.client_settings import librdkafka
from driftline.registry.aliases import read_canary, start_canary
from driftline.registry.client import connect as connect_registry
from driftline.registry.files import layout
from driftline.registry.promote import promote, rollback
from driftline.registry.timeline import spans
from driftline.storage.log.lineage import explain
from driftline.storage.versions.promotions import Decision, VersionEvent
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.lineup import in_canary
from tests.integration.job import feed
from tests.integration.job.conftest import World
from tests.integration.job.running import (
    Running,
    proof,
    rows,
    wait_for,
    wait_until_midstream,
)
from tests.integration.job.versions import SCORE, Versions
from tests.unit.registry import keras_models

FIRST = 10_000
NUMBER = "substr(event_id, 2)::int"


def stands_by(workers: list[int]) -> bool:
    """Whether the process for preflight checks has finished its imports, and waits."""
    children = [child for pid in workers for child in psutil.Process(pid).children()]
    servers = [child for child in children if "driftline.registry.preflight" in child.cmdline()]
    return any(child.cpu_percent(1.0) == 0 for child in servers)


@dataclass
class Swapped:
    """The job under which versions change, and its stream.

    Attributes:
        events: how many were sent so far.
    """

    job: Running
    versions: Versions
    events: int = FIRST

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Let the stream flow through the block; at its end all that was sent has its outcome."""
        world = self.versions.world
        kafka, topic = world.config.local_kafka(), world.topic(self.job.model, "events")
        with feed.flowing(kafka, topic, self.events, lambda: self.job.progress().events) as flow:
            yield
        self.events = flow.events
        self.job.wait_until_settled(feed.sent(self.events).messages)


@pytest.fixture(autouse=True)
def one_alias(world: World) -> Iterator[None]:
    """After each test, version 1 is champion and no other alias points anywhere."""
    yield
    client = connect_registry(world.config.local_mlflow())
    client.set_registered_model_alias(world.registered, "champion", "1")
    for alias in client.get_registered_model(world.registered).aliases:
        if alias != "champion":
            client.delete_registered_model_alias(world.registered, alias)


@pytest.fixture(scope="module")
def swapped(world: World) -> Iterator[Swapped]:
    """One job for all changes; at its end everything that was sent is there, once."""
    model = "swapped"
    path = world.write(model, world.section(model, stream={"batch_rows": 2_000}), parallelism=2)
    world.make_topics(model)
    feed.produce(world.config.local_kafka(), world.topic(model, "events"), feed.values(0, FIRST))
    with Running(path, model) as job:
        job.wait_until_settled(feed.sent(FIRST).messages)
        under = Swapped(job, Versions(world, load(path), model))
        yield under
        job.drain()
    report, total = proof(job.config, model), feed.sent(under.events)
    assert (report.events.logged, report.events.rejected) == (total.events, total.broken)
    assert report.profiled == report.published == total.events


def test_promotion_roll_back_and_a_move_in_mlflow_under_load(swapped: Swapped) -> None:
    job, versions, first = swapped.job, swapped.versions, swapped.events
    second = versions.register(factor=0.7)
    wait_for(lambda: stands_by(job.pids()["worker"]), "a process for preflight checks")
    with swapped.flowing():
        wait_until_midstream(job.config, job.model)
        outcome = promote(job.config, job.model, second)
        assert outcome.promoted
        versions.wait_until_it_serves(second)
        wait_for(lambda: len(workers(versions, second, "serving")) == 2, "both workers")
        moves = [outcome.decision, rollback(job.config, job.model)]
        versions.wait_until_it_serves(1, versions.scored_by(1))
        served_before = versions.scored_by(second)
        versions.point(second)
        os.kill(job.pids()["worker"][0], signal.SIGKILL)  # while workers change to it
        versions.wait_until_it_serves(second, served_before)
    for move in moves:
        seconds, rate = swap(versions, move)
        logging.info("%s: first prediction after %.1f s, %.0f events/s", move.kind, seconds, rate)
    expected = f"CASE model_version WHEN 1 THEN {SCORE.format(factor=0.5)}" + (
        f" WHEN {second} THEN {SCORE.format(factor=0.7)} END"
    )
    stored = rows(
        job.config,
        f"""SELECT role, count(*), bool_and(abs(score - ({expected})) < 1e-4)
              FROM driftline.prediction_{job.model} WHERE {NUMBER} >= %s GROUP BY role""",
        first,
    )
    assert stored == [("champion", swapped.events - first, True)]
    done = [span for span in spans(versions.events()) if span.version == second]
    (promoted, *_) = [span for span in done if span.kind == "serving"]
    assert promoted.first < promoted.last
    assert len(promoted.workers) == 2
    kinds = [(e.version, e.kind) for e in versions.events() if e.kind in {"serving", "ungated"}]
    assert set(kinds) == {(1, "serving"), (second, "serving"), (second, "ungated")}
    decided = rows(job.config, "SELECT version, kind FROM driftline.promotion ORDER BY id")
    assert decided == [(1, "first"), (second, "promoted"), (1, "rolled_back")]
    leads_back_to_its_message_and_version(versions, f"e{first + 10_000}")
    with swapped.flowing():  # for other tests
        served_before = len(served(versions, 1))
        versions.point(1)
        wait_for(lambda: len(served(versions, 1)) == served_before + 2, "both workers")


def served(versions: Versions, version: int) -> list[VersionEvent]:
    """Each time that a worker began to serve it."""
    return [e for e in versions.events() if (e.version, e.kind) == (version, "serving")]


def workers(versions: Versions, version: int, kind: str) -> set[str]:
    """Those that have recorded an event."""
    return {e.worker for e in versions.events() if (e.version, e.kind) == (version, kind)}


def swap(versions: Versions, move: Decision) -> tuple[float, float]:
    """Seconds from a decision to the version's first prediction; events in the best of them."""
    table = f"driftline.prediction_{versions.model}"
    ((seconds, rate),) = rows(
        versions.config,
        f"""WITH served AS (SELECT scored_at, model_version FROM {table} WHERE scored_at > %s),
                 first AS (SELECT min(scored_at) AS at FROM served WHERE model_version = %s),
                 each AS (SELECT count(*) AS n FROM served, first
                           WHERE scored_at < at + interval '3 seconds'
                           GROUP BY date_trunc('second', scored_at))
            SELECT extract(epoch FROM at - %s)::float8, (SELECT max(n) FROM each)::float8
              FROM first""",
        move.decided_at,
        move.version,
        move.decided_at,
    )
    return seconds, rate


def leads_back_to_its_message_and_version(versions: Versions, event_id: str) -> None:
    """The lineage of a prediction is what Kafka, MLflow and the feature definition say."""
    config = versions.config
    (lineage,) = explain(config, event_id, versions.model)
    message, version = lineage["message"], lineage["version"]
    consumer = Consumer(librdkafka(config.local_kafka()) | {"group.id": "lineage"})
    at = TopicPartition(message["topic"], message["partition"], message["offset"])
    consumer.assign([at])
    record = consumer.poll(60)
    consumer.close()
    assert record is not None
    assert json.loads(record.value() or "")["id"] == event_id
    number = str(lineage["prediction"]["model_version"])
    entry = versions.client.get_model_version(versions.world.registered, number)
    assert (version["run_id"], version["digest"]) == (entry.run_id, entry.tags[layout.DIGEST_TAG])
    assert version["features_hash"] == FeatureDefinition(config.model(versions.model)).digest
    assert version["binning_id"] == entry.tags[layout.BINNING_TAG]
    assert version["reference_rows"] in {50, 5_000}
    assert lineage["decision"]["kind"] in {"first", "promoted", "rolled_back"}


def test_a_crash_under_a_canary_and_shadows(swapped: Swapped) -> None:
    job, versions, first = swapped.job, swapped.versions, swapped.events
    challenger = versions.register(factor=0.9)
    shadow = versions.register_path(keras_models.save_plain(versions.world.folder / "m.keras", 0.1))
    versions.point(challenger, "challenger")
    versions.point(shadow, "shadow")
    with swapped.flowing():
        for version in (challenger, shadow):
            versions.wait_for_event(version, "scoring", workers=2)
        start_canary(versions.client, versions.world.registered, 20)
        versions.wait_until_it_serves(challenger)
        start_canary(versions.client, versions.world.registered, 50)
        os.kill(job.pids()["worker"][0], signal.SIGKILL)  # while workers change their share
        scored = versions.scored_by(challenger)
        versions.wait_until_it_serves(challenger, scored)
        wait_for(lambda: any("50 %" in e.detail for e in versions.events()), "the larger share")
    stored = rows(
        job.config,
        f"""SELECT event_id, role, model_version FROM driftline.prediction_{job.model}
             WHERE {NUMBER} >= %s""",
        first,
    )
    by = {role: [e for e, r, _ in stored if r == role] for role in ("champion", "challenger")}
    assert {(r, v) for _, r, v in stored} == {("champion", 1), ("challenger", challenger)}
    assert in_canary(pa.array(by["challenger"]), 50).all()
    stored_labels = rows(
        job.config,
        f"""SELECT s.role, s.model_version, p.role, count(*),
                   bool_and(abs(s.score - CASE s.model_version
                     WHEN 1 THEN {SCORE.format(factor=0.5)}
                     WHEN {challenger} THEN {SCORE.format(factor=0.9)}
                     ELSE {SCORE.format(factor=0.1)} END) < 1e-4)
              FROM driftline.shadow_{job.model} s
              JOIN driftline.prediction_{job.model} p USING (event_time, event_id)
             WHERE {NUMBER} >= %s
             GROUP BY 1, 2, 3""",
        first,
    )
    assert {row[:3] for row in stored_labels} == {
        ("champion", 1, "challenger"),
        ("challenger", challenger, "champion"),
        ("shadow", shadow, "champion"),
        ("shadow", shadow, "challenger"),
    }
    assert all(right for *_, right in stored_labels)
    count = {row[:3]: row[3] for row in stored_labels}
    assert count["champion", 1, "challenger"] == len(by["challenger"])
    assert count["shadow", shadow, "challenger"] == len(by["challenger"])


@pytest.mark.long
def test_a_canary_that_breaks_a_gate_is_stopped(world: World) -> None:
    model = "careful"
    gates = {
        "agreement": {"min_events": 500, "tolerance": 0.5, "min_share": 0.9},
        "evidence_window": "1 d",
    }
    path = world.write(model, world.section(model, gates=gates), parallelism=2)
    world.make_topics(model)
    versions = Versions(world, load(path), model)
    worse = versions.register(factor=7.0)
    versions.point(worse, "challenger")
    start_canary(versions.client, world.registered, 100)
    kafka, topic = world.config.local_kafka(), world.topic(model, "events")
    broken = versions.register("raises", rows=100)
    versions.point(broken, "shadow")
    with Running(path, model) as job:
        feed.produce(kafka, topic, feed.values(0, FIRST))
        versions.wait_for_quarantine(broken)
        wait_for(lambda: len(workers(versions, worse, "scoring")) == 2, "both workers")
        (tried,) = (job.config.state / "models" / world.registered).glob(
            f"{broken}-*.preflight.json"
        )
        tried.unlink()  # a worker that tried it again would write it again
        feed.produce(kafka, topic, feed.values(FIRST, 2 * FIRST))
        stopped = versions.wait_for_event(worse, "canary_stopped")
        assert "agree with the champion within 0.5; the minimum is 90.00%" in stopped.detail
        assert read_canary(versions.client, world.registered) is None
        wait_for(lambda: len([e for e in versions.events() if e.kind == "scoring"]) > 3, "its end")
        scored = versions.scored_by(worse)
        feed.produce(kafka, topic, feed.values(2 * FIRST, 3 * FIRST))
        job.wait_until_settled(feed.sent(3 * FIRST).messages)
        assert versions.scored_by(worse) == scored > 0
        assert [e.kind for e in versions.events() if e.version == broken] == ["quarantined"]
        assert not tried.exists()
        job.drain()
    proof(job.config, model)
