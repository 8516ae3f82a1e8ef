"""Which models are reported as not watched."""

from datetime import timedelta
from typing import Any

import pytest

from driftline.storage.connection import connect
from driftline.storage.monitoring import coverage, runners

MODEL, OTHER = "fraud", "spend"


@pytest.fixture
def watching(world: Any) -> Any:
    """Asks which of two models is not watched, and gives the reasons."""

    def ask(**more: Any) -> dict[str, str]:
        with connect(world.config.postgres, "read") as connection:
            found = coverage.unwatched(connection, [MODEL, OTHER], **more)
        return {one.model: one.reason for one in found}

    return ask


def beat(world: Any, *models: str) -> None:
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        runners.heartbeat(
            connection, "a", shards=[1], models=1, watches=models, lag_seconds=0.0, errors=0
        )


def advance(world: Any, model: str, lag: float = 0.0) -> None:
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        runners.record_success(connection, model, 1, clock=None, judged_until=None, lag_seconds=lag)


def test_a_model_is_watched_by_a_runner_that_lives_and_judges_it(world: Any, watching: Any) -> None:
    nobody = "no runner watches it"
    assert watching() == {MODEL: nobody, OTHER: nobody}
    beat(world, MODEL)
    assert watching() == {MODEL: "no runner has judged it yet", OTHER: nobody}
    advance(world, MODEL)
    assert watching() == {OTHER: nobody}  # which another runner would watch
    advance(world, OTHER)
    assert watching() == {OTHER: nobody}
    assert watching(judged_within=timedelta(hours=1)) == {}
    beat(world, MODEL, OTHER)
    assert watching() == {}

    advance(world, OTHER, lag=301)
    assert watching() == {OTHER: "windows wait to be judged for 301 s"}
    with connect(world.config.postgres, "write", autocommit=True) as connection:
        runners.record_failure(connection, MODEL, 1, "disk full")
    assert watching()[MODEL] == "judging fails: disk full"
    advance(world, MODEL)
    advance(world, OTHER)
    assert watching() == {}

    with connect(world.config.postgres, "write", autocommit=True) as connection:
        runners.deregister(connection, "a")
    assert watching() == {MODEL: nobody, OTHER: nobody}
    beat(world, MODEL, OTHER)
    assert watching() == {}
    world.sql("UPDATE driftline.runner SET heartbeat_at = heartbeat_at - interval '2 min'")
    assert watching() == {MODEL: nobody, OTHER: nobody}
