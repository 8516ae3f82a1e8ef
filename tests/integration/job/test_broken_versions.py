"""Versions and events that are broken in every way: isolated, while the champion keeps serving."""

import itertools
import os
import shutil
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from driftline.config import load
from driftline.registry.files import layout
from driftline.services.ports import LOOPBACK, choose
from tests.integration.job import feed, killing
from tests.integration.job.conftest import World
from tests.integration.job.running import Running, proof, rows, wait_for
from tests.integration.job.versions import Versions
from tests.unit.registry import odd_models, saved_models

MODEL = "sturdy"
BATCH = 400

_numbers = itertools.count()
_KILLING = {17: killing.KILLS, 303: killing.HANGS}  # the place in a batch, and the amount
_rejected: list[int] = []


@pytest.fixture(scope="module")
def reporter() -> int:
    """The port of Flink's Prometheus reporter."""
    return choose()


@pytest.fixture(scope="module")
def running(world: World, reporter: int) -> Iterator[tuple[Running, Versions]]:
    """One job for all of them; at its end everything that was sent is there, once."""
    registry = {
        "name": world.registered,
        "poll_interval": "500 ms",
        "preflight_timeout": "20 s",
        "batch_timeout": "5 s",
    }
    factory = "org.apache.flink.metrics.prometheus.PrometheusReporterFactory"
    properties = {
        "metrics.reporters": "prom",
        "metrics.reporter.prom.factory.class": factory,
        "metrics.reporter.prom.port": str(reporter),
    }
    flink = {"checkpoint_interval": "1 s", "properties": properties}
    features = {"transform": f"{killing.__name__}:transform"}
    section = world.section(MODEL, registry=registry, labels=None, features=features)
    path = world.write(MODEL, section, flink=flink)
    world.make_topics(MODEL)
    with Running(path, MODEL) as job:
        job.wait_until_settled(feed_unlucky(job, world))  # Flink starts a worker for what comes
        yield job, Versions(world, load(path), MODEL)
        sent = next(_numbers) * BATCH
        job.wait_until_settled(sent)
        job.drain()
    report = proof(job.config, MODEL)
    assert report.events.rejected == len(_rejected)
    assert report.events.logged == report.published == sent - len(_rejected)


def feed_unlucky(
    job: Running, world: World, amounts: Mapping[int, float] = MappingProxyType({})
) -> int:
    """A batch of events that the odd ones fail on; gives how many messages there are in all.

    Parameters:
        amounts: of some events other ones, by their place in the batch.
    """
    number = next(_numbers)
    values = [
        f'{{"id":"s{number}-{i}","at":{feed.START + number * 60_000 + i},"amount":'
        f"{amounts.get(i, odd_models.UNLUCKY)},"
        f'"items":{i % 5},"country":"de"}}'.encode()
        for i in range(BATCH)
    ]
    feed.produce(world.config.local_kafka(), world.topic(MODEL, "events"), values, partitions=1)
    return (number + 1) * BATCH


def served_by_the_champion(job: Running, messages: int) -> None:
    """All that was sent is settled, and version 1 has scored every event of the last batch."""
    job.wait_until_settled(messages)
    stored = rows(
        job.config,
        f"""SELECT model_version, role, count(*) FROM driftline.prediction_{MODEL}
             WHERE event_id LIKE %s GROUP BY 1, 2""",
        f"s{messages // BATCH - 1}-%",
    )
    assert stored == [(1, "champion", BATCH)]


def changed(versions: Versions) -> int:
    """Registered whole, damaged since."""
    version = versions.register(factor=1.1)
    pb = next(versions.files(version).rglob("saved_model.pb"))
    pb.write_bytes(pb.read_bytes()[:1_000])
    return version


def corrupt(versions: Versions) -> int:
    """Damaged before its digest was taken."""
    version = changed(versions)
    digest = layout.digest(versions.files(version))
    name = versions.world.registered
    versions.client.set_model_version_tag(name, str(version), layout.DIGEST_TAG, digest)
    return version


def missing(versions: Versions) -> int:
    version = versions.register(factor=1.2)
    shutil.rmtree(next(versions.files(version).rglob("saved_model.pb")).parent)
    return version


def other_signature(versions: Versions) -> int:
    from tests.integration.registry.conftest import features

    source = saved_models.save(versions.world.folder / "other")
    from driftline.registry.register import register

    settings = versions.config.local_mlflow()
    return register(settings, versions.world.registered, source, features(50)).version


def raises_in_its_trial(versions: Versions) -> int:
    return versions.register("raises", rows=100)


def hangs_in_its_trial(versions: Versions) -> int:
    return versions.register("hangs", rows=100)


REFUSED: dict[Callable[[Versions], int], str] = {
    changed: "were changed in the registry",
    corrupt: "can't load the SavedModel",
    missing: "it has neither tf2model nor data/model.keras",
    other_signature: "model input 'b' has no feature column",
    raises_in_its_trial: "boom",
    hangs_in_its_trial: "it did not load and predict within 20 s",
}


@pytest.mark.parametrize(
    ("make", "alias"),
    [*((make, "champion") for make in REFUSED), (corrupt, "shadow")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_it_is_refused_before_it_scores(
    running: tuple[Running, Versions], world: World, make: Callable[[Versions], int], alias: str
) -> None:
    job, versions = running
    served_by_the_champion(job, feed_unlucky(job, world))
    version = make(versions)
    versions.point(version, alias)
    quarantine = versions.wait_for_quarantine(version)
    assert quarantine.reason == "refused"
    assert REFUSED[make] in quarantine.detail
    served_by_the_champion(job, feed_unlucky(job, world))
    versions.point(1)


@pytest.mark.parametrize("kind", ["raises", "nan"])
@pytest.mark.parametrize("alias", ["champion", "challenger", "shadow"])
def test_what_fails_in_service_gives_its_place_back(
    running: tuple[Running, Versions], world: World, kind: str, alias: str
) -> None:
    job, versions = running
    version = versions.register(kind, factor=1.5 + len(alias) / 100)
    versions.point(version, alias)
    versions.wait_for_event(version, "serving" if alias == "champion" else "scoring")
    messages = feed_unlucky(job, world)
    quarantine = versions.wait_for_quarantine(version)
    assert quarantine.reason == {"raises": "model_failed", "nan": "not_finite_score"}[kind]
    served_by_the_champion(job, messages)
    versions.point(1)


@pytest.mark.parametrize("alias", ["champion", pytest.param("shadow", marks=pytest.mark.long)])
def test_a_hang_in_service_ends_the_worker_and_the_last_good_version_goes_on(
    running: tuple[Running, Versions], world: World, alias: str
) -> None:
    job, versions = running
    version = versions.register("hangs", factor=1.7 + len(alias) / 100)
    versions.point(version, alias)
    versions.wait_for_event(version, "serving" if alias == "champion" else "scoring")
    worker = job.pids()["worker"]
    messages = feed_unlucky(job, world)
    assert versions.wait_for_quarantine(version).reason == "hangs"
    wait_for(lambda: not any(map(_exists, worker)), "the end of the worker")
    served_by_the_champion(job, messages)
    versions.point(1)


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and os.getpgid(pid) > 0


@pytest.mark.parametrize(
    "alias",
    [
        "champion",
        *(pytest.param(role, marks=pytest.mark.long) for role in ("challenger", "shadow")),
    ],
)
def test_what_takes_many_times_as_long_gives_its_place_back(
    running: tuple[Running, Versions], world: World, alias: str
) -> None:
    job, versions = running
    version = versions.register("slow", factor=1.6 + len(alias) / 100)
    versions.point(version, alias)
    versions.wait_for_event(version, "serving" if alias == "champion" else "scoring")
    messages = 0
    while not any(e.kind == "quarantined" for e in versions.events() if e.version == version):
        messages = feed_unlucky(job, world)
        job.wait_until_settled(messages)
    quarantine = versions.wait_for_quarantine(version)
    assert quarantine.reason == "too_slow"
    assert "over 5x in 5 batches in a row (registry.max_slowdown)" in quarantine.detail
    scored = versions.scored_by(version)
    job.wait_until_settled(feed_unlucky(job, world))
    assert versions.scored_by(version) == scored
    assert (scored > 0) == (alias == "champion")
    assert job.progress().rejected == len(_rejected)
    versions.point(1)


def test_what_a_worker_tells_flinks_metrics(
    running: tuple[Running, Versions], world: World, reporter: int
) -> None:
    job, versions = running
    version = versions.register("nan", factor=1.9)
    versions.point(version, "shadow")
    versions.wait_for_event(version, "scoring")
    feed_unlucky(job, world)
    versions.wait_for_quarantine(version)

    def told() -> dict[str, float]:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{reporter}/metrics") as answer:
            lines = [
                line for line in answer.read().decode().splitlines() if "driftline_model" in line
            ]
        values = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.split("{")[0].rsplit("_model_", 1)[1]: float(value) for name, value in values}

    def is_told() -> bool:
        job.wait_until_settled(feed_unlucky(job, world))  # a worker speaks after a batch
        gauges = told()
        return gauges.get("versions_in_quarantine", 0) > 0 and gauges["versions_scoring"] == 1

    wait_for(is_told, "the quarantine among Flink's metrics")
    assert told()["champion_version"] == 1
    assert told()["champion_ungated"] == 0


def test_events_that_no_worker_survives_are_rejected_and_no_others(
    running: tuple[Running, Versions], world: World
) -> None:
    job, _ = running
    _rejected.extend(_KILLING)
    killing_batch = feed_unlucky(job, world, _KILLING)
    served_by_the_champion(job, feed_unlucky(job, world))
    rejected = """SELECT convert_from(payload, 'UTF8')::json ->> 'id', reason, detail
                    FROM driftline.rejected ORDER BY kafka_offset"""
    batch = killing_batch // BATCH - 1
    assert rows(job.config, rejected) == [
        (f"s{batch}-17", "worker_killed", "ends the process with SIGSEGV"),
        (f"s{batch}-303", "worker_killed", "takes longer than 5 s"),
    ]
