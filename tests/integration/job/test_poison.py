"""A job that cannot start says why, and ends with exit code 1."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.integration.job import feed
from tests.integration.job.conftest import World
from tests.integration.job.running import PATIENCE, command


def refusals(paths: dict[str, Path]) -> dict[str, str]:
    """What `driftline run` says to each config, all started at once; it must end with 1."""
    runs = {
        name: command("run", name, path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for name, path in paths.items()
    }
    messages = {}
    try:
        for name, run in runs.items():
            _, text = run.communicate(timeout=PATIENCE)
            messages[name] = " ".join(text.decode().split())
            assert run.returncode == 1, messages[name]
    finally:
        for run in runs.values():
            run.kill()  # its job ends by itself
    return messages


def change(path: Path, name: str, **more: Any) -> Path:
    """The config with other top-level sections, beside the first."""
    changed = path.with_name(f"{path.stem}-changed.yaml")
    changed.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | more))
    return changed


def test_what_is_not_there_is_named_at_once(world: World) -> None:
    registered = {"name": world.registered, "alias": "nobody"}
    paths = {
        "alias": world.write("alias", world.section("alias", registry=registered)),
        "unknown": world.write("unknown", world.section("unknown", registry={"name": "unknown"})),
        "topics": world.write("topics", world.section("topics")),
    }
    world.make_topics("alias")
    world.make_topics("unknown")
    section = world.section("schema")
    paths["schema"] = change(paths["topics"], "schema", models={"schema": section})
    messages = refusals(paths)
    assert f"model '{world.registered}' has no alias 'nobody'" in messages["alias"]
    assert "can't find model 'unknown'@champion" in messages["unknown"]
    assert f"has no topic '{world.topic('topics', 'events')}'" in messages["topics"]
    assert "model 'schema' has no prediction table: run 'driftline migrate'" in messages["schema"]


def test_a_model_that_does_not_fit_ends_the_job(world: World) -> None:
    section = world.section("unfit")
    section["input"]["fields"]["amount"] = "string"
    path = world.write("unfit", section)
    world.make_topics("unfit")
    # Flink opens a function when the first message comes
    feed.produce(world.config.local_kafka(), world.topic("unfit", "events"), [feed.event(1)])
    message = refusals({"unfit": path})["unfit"]
    assert "job of 'unfit' can't start: model input 'amount' takes float32, but its" in message
