"""A worker's line-up after the alias was moved outside driftline, by MLflow's own client."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from driftline.storage import promotions
from driftline.storage.connection import connect
from driftline.streaming.follow import Follower
from driftline.streaming.serving import Serving
from registry.trials import Trials
from tests.integration.job.running import wait_for
from tests.integration.registry.conftest import FEATURES, MODEL, Registered


@contextmanager
def worker(registered: Registered, mode: str) -> Iterator[Callable[[], int]]:
    """What a worker of the job serves, in this process; gives the champion's version."""
    content = yaml.safe_load(registered.path.read_text())
    content["state"] = str(registered.path.parent / "state")
    for service in ("postgres", "kafka", "mlflow"):
        found = getattr(registered.config, f"local_{service}")()
        content[service] = found.model_dump(mode="json", exclude_none=True)
    content["models"][MODEL]["registry"]["poll"] = "200 ms"
    content["models"][MODEL]["gates"] = {"mode": mode}
    registered.path.write_text(yaml.safe_dump(content))
    config = registered.config
    serving = Serving(config, MODEL, FEATURES, "definition")
    trials = Trials(config.state / "models", config.model(MODEL).registry, FEATURES)
    follower = Follower(config, MODEL, serving, trials)
    try:
        yield lambda: serving.now().champion.version
    finally:
        follower.close()


def happened(registered: Registered, version: int) -> list[str]:
    """What the workers did with a version."""
    with connect(registered.config.local_postgres(), "read") as connection:
        events = promotions.events(connection, MODEL)
    return [one.kind for one in events if one.version == version]


def state(registered: Registered, version: int) -> Any:
    versions = registered.json("show", MODEL)["versions"]
    return next(one["state"] for one in versions if one["version"] == version)


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
    registered.point(2)
    with worker(registered, "enforce") as champion:
        wait_for(lambda: happened(registered, 2), "the refusal")
        assert (champion(), happened(registered, 2)) == (1, ["refused"])
        made = registered.json("promote", MODEL, "2")
        assert (made["kind"], made["previous"], made["verdict"]["against"]) == ("promoted", 1, 1)
        wait_for(lambda: champion() == 2, "the version that was promoted")
        assert registered.tags(2)["driftline.decision"] == "promoted"
        assert state(registered, 2) == ""
        message = str(registered.run("promote", MODEL, "2").exception)
        assert "is champion already, promoted by tester" in message
