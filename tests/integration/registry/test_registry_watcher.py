"""A worker's line-up follows the registry, skips faulty versions, and waits for no slow check."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from driftline.registry.shared_preflight import SharedPreflight
from driftline.storage.connection import connect
from driftline.storage.versions import promotions
from driftline.streaming.rollout.registry_watcher import RegistryWatcher
from driftline.streaming.rollout.serving import Serving
from tests.hostile_reader import holding
from tests.integration.job.running import wait_for
from tests.integration.registry.conftest import FEATURES, MODEL, Registered


class Worker:
    """What a worker of the job serves, in this process.

    Parameters:
        registered: the model.
        mode: of its gates.
        stuck: a version whose preflight check blocks until `over` is set.
        gates: that the model has.
    """

    def __init__(
        self, registered: Registered, mode: str = "record", stuck: int = 0, **gates: Any
    ) -> None:
        content = yaml.safe_load(registered.path.read_text())
        content["state"] = str(registered.path.parent / "state")
        for service in ("postgres", "kafka", "mlflow"):
            settings = getattr(registered.config, f"local_{service}")()
            content[service] = settings.model_dump(mode="json", exclude_none=True)
        content["models"][MODEL]["registry"]["poll_interval"] = "200 ms"
        content["models"][MODEL]["gates"] = {"mode": mode, **gates}
        registered.path.write_text(yaml.safe_dump(content))
        config = registered.config
        self.over = threading.Event()
        self.serving = Serving(config, MODEL, FEATURES, "definition")
        checks = _SlowPreflight(config.state / "models", config.model(MODEL).registry, FEATURES)
        checks.stuck, checks.over = stuck, self.over
        self.watcher = RegistryWatcher(config, MODEL, self.serving, checks)

    def champion(self) -> int:
        return self.serving.current().champion.version

    def previous(self) -> int | None:
        previous = self.serving.current().previous
        return None if previous is None else previous.version


class _SlowPreflight(SharedPreflight):
    stuck: int
    over: threading.Event

    def run(self, path: Path, version: int) -> None:
        if version == self.stuck:
            self.over.wait(60)
        super().run(path, version)


@contextmanager
def working(
    registered: Registered, mode: str = "record", stuck: int = 0, **gates: Any
) -> Iterator[Worker]:
    worker = Worker(registered, mode, stuck, **gates)
    try:
        yield worker
    finally:
        worker.over.set()
        worker.watcher.close()


@contextmanager
def worker(registered: Registered, mode: str) -> Iterator[Callable[[], int]]:
    """A worker's champion."""
    with working(registered, mode) as worker:
        yield worker.champion


def happened(registered: Registered, version: int) -> list[str]:
    """What the workers did with a version."""
    with connect(registered.config.local_postgres(), "read") as connection:
        events = promotions.events(connection, MODEL)
    return [event.kind for event in events if event.version == version]


def state(registered: Registered, version: int) -> Any:
    versions = registered.json("show", MODEL)["versions"]
    return next(row["state"] for row in versions if row["version"] == version)


def test_it_is_followed_and_marked_ungated_even_when_no_job_ran(registered: Registered) -> None:
    registered.point(2)
    with worker(registered, "record") as champion:
        assert champion() == 2
        wait_for(lambda: "ungated" in happened(registered, 2), "the mark")
        assert happened(registered, 2) == ["serving", "ungated"]
        wait_for(lambda: registered.tags(2).get("driftline.decision") == "ungated", "the tag")
        assert state(registered, 2) == "ungated"
        registered.point(1)  # back, by hand
        wait_for(lambda: champion() == 1, "the version that the alias points to again")
        wait_for(lambda: "gated" in happened(registered, 1), "the end of the mark")
        registered.point(3)
        wait_for(lambda: champion() == 3, "the version that the alias points to")
        assert set(happened(registered, 3)) == {"ready", "ungated", "serving"}
        assert registered.json("rollback", MODEL)["version"] == 1
        wait_for(lambda: champion() == 1, "the last champion of driftline")
        assert state(registered, 1) == ""


def test_it_is_refused_until_the_gates_have_passed(registered: Registered) -> None:
    registered.point(2, "shadow")
    with working(registered, "enforce") as worker:
        wait_for(lambda: worker.serving.current().shadows, "the shadow")  # though it could serve
        registered.point(2)
        wait_for(lambda: not worker.serving.current().shadows, "a change")  # no shadow of itself
        assert worker.champion() == 1
        wait_for(lambda: "refused" in happened(registered, 2), "the refusal")
        assert happened(registered, 2) == ["ready", "scoring", "refused"]
        registered.client.delete_registered_model_alias(registered.name, "shadow")
        decision = registered.json("promote", MODEL, "2")
        assert (decision["kind"], decision["previous"], decision["verdict"]["against"]) == (
            "promoted",
            1,
            1,
        )
        wait_for(lambda: worker.champion() == 2, "the version that was promoted")
        assert registered.tags(2)["driftline.decision"] == "promoted"
        assert state(registered, 2) == ""
        message = str(registered.run("promote", MODEL, "2").exception)
        assert "is already champion, promoted by tester" in message


@pytest.mark.parametrize("mode", ["record", "enforce"])
def test_where_the_alias_was_deleted_the_champion_stays_and_others_are_followed(
    registered: Registered, mode: str
) -> None:
    registered.json("promote", MODEL, "2")
    with working(registered, mode) as worker:
        registered.client.delete_registered_model_alias(registered.name, "champion")
        registered.point(3, "shadow")
        wait_for(lambda: worker.serving.current().shadows, "the shadow")
        assert worker.champion() == 2
    with working(registered, mode) as another:  # a restart
        assert another.champion() == 2
        registered.quarantine(2)
        wait_for(lambda: another.champion() == 1, "the champion before")


def test_what_another_worker_finds_unfit_serves_nowhere(registered: Registered) -> None:
    registered.json("promote", MODEL, "2")
    with working(registered) as worker:
        assert worker.champion() == 2
        registered.point(3, "shadow")
        wait_for(lambda: worker.serving.current().shadows, "the shadow")
        registered.quarantine(3)
        wait_for(lambda: not worker.serving.current().shadows, "its end")
        registered.quarantine(2)
        wait_for(lambda: worker.champion() == 1, "the champion before")
        assert worker.previous() is None
        registered.json("reinstate", MODEL, "2", "--reason", "it was the network")
        wait_for(lambda: worker.champion() == 2, "the champion of the registry")
        assert worker.previous() == 1


def test_a_worker_that_begins_anew_has_the_champion_before_to_go_back_to(
    registered: Registered,
) -> None:
    registered.json("promote", MODEL, "3")
    registered.json("promote", MODEL, "2")
    registered.json("retire", MODEL, "3")
    with working(registered) as worker:
        wait_for(lambda: worker.previous() == 1, "the last champion that was not retired")
        worker.serving.exclude(2, "not_finite_score", "the score is nan")
        wait_for(lambda: worker.champion() == 1, "the champion before")
        wait_for(lambda: "quarantined" in happened(registered, 2), "the quarantine")
    with working(registered) as another:
        assert another.champion() == 1


def test_a_champion_that_hangs_after_a_restart_goes_to_quarantine_where_another_can_serve(
    registered: Registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    with working(registered) as worker:  # the only champion that there ever was
        worker.serving.end_hung_worker(worker.serving.current().champion)
    assert (codes, happened(registered, 1)) == ([70], ["serving"])
    registered.json("promote", MODEL, "2")
    serving = Serving(registered.config, MODEL, FEATURES, "definition")
    serving.end_hung_worker(
        serving.current().champion
    )  # in its first batch: nothing else is loaded
    assert (codes, happened(registered, 2)) == ([70, 70], ["serving", "quarantined"])
    assert Serving(registered.config, MODEL, FEATURES, "").current().champion.version == 1


def test_a_reader_that_holds_all_it_can_keeps_no_bad_canary(registered: Registered) -> None:
    """Nor the first champion from being recorded, which a worker does when it begins."""
    label = np.arange(1_000) % 2.0
    registered.live(label, 1 - label, label=label)
    registered.point(2, "challenger")
    registered.json("canary", MODEL, "10%")
    registered.sql("DELETE FROM driftline.promotion")
    gate = {"metric": "brier", "min_events": 100, "margin": 0.01}
    with (
        holding(registered.config.local_postgres(), MODEL),
        working(registered, performance=gate),
    ):
        wait_for(lambda: "canary_stopped" in happened(registered, 2), "the end of the canary")
    kinds = registered.sql("SELECT kind, version FROM driftline.promotion")
    assert kinds == [("first", 1)]


def test_a_slow_preflight_check_holds_up_no_promotion(registered: Registered) -> None:
    with working(registered, stuck=3) as worker:
        registered.point(3, "shadow")
        registered.json("promote", MODEL, "2")
        wait_for(lambda: worker.champion() == 2, "the promoted version")
        registered.json("rollback", MODEL)
        wait_for(lambda: worker.champion() == 1, "the champion before")
        assert worker.serving.current().shadows == ()
        worker.over.set()
        wait_for(lambda: worker.serving.current().shadows, "the shadow")
        assert "scoring" in happened(registered, 3)
