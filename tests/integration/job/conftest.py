"""A stack that tests may kill, a registered model, and configs of real jobs."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from driftline.config import Config, load
from driftline.services.stack import Stack
from driftline.storage.schema import migrate
from driftline.streaming.features import FeatureDefinition
from registry.register import register
from tests.integration.job import feed, saved_model

REGISTERED = "purchases"


@dataclass(frozen=True)
class World:
    """A stack of its own, with the model in its registry."""

    stack: Stack
    folder: Path

    def write(self, models: dict[str, Any], **more: Any) -> Path:
        """A `driftline.yaml` of some models: topics made, schema migrated."""
        path = self.folder / f"{'-'.join(models)}.yaml"
        content = {
            "state": str(self.stack.folder),
            "flink": {"parallelism": 2, "checkpoint_interval": "2 s"},
            **more,
            "models": models,
        }
        path.write_text(yaml.safe_dump(content))
        config = load(path)
        direct = Config(state=self.stack.folder, models=config.models)
        migrate(direct, {name: FeatureDefinition(m).schema for name, m in config.models.items()})
        return path


def section(name: str, **more: Any) -> dict[str, Any]:
    """The config of one model, with topics of its own."""
    return {
        "input": {
            "topic": f"{name}-events",
            "event_id": "id",
            "event_time": "at",
            "time_format": "epoch_ms",
            "fields": {"amount": "float", "items": "int", "country": "string"},
            "accept": {"since": "2024-01-01", "until": "2024-12-31"},
        },
        "registry": {"name": REGISTERED},
        "output": {"topic": f"{name}-scored", "delivery": "exactly_once"},
        "segments": ["country"],
        **more,
    }


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SavedModel."""
    return saved_model.save(tmp_path_factory.mktemp("model") / "saved_model")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, exported: Path) -> Iterator[World]:
    """A stack of its own: its services get killed."""
    folder = tmp_path_factory.mktemp("job")
    stack = Stack(folder / "state")
    try:
        stack.up()
        config = Config(state=stack.folder)
        register(
            config.local_mlflow(), REGISTERED, exported, saved_model.reference(), alias="champion"
        )
        yield World(stack, folder)
    finally:
        stack.down()
        if not __import__("os").environ.get("KEEP"): shutil.rmtree(folder, ignore_errors=True)
