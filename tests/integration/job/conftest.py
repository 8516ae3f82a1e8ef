"""Worlds for real jobs: services, a registered model, and configs."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from driftline.config import Config, load
from driftline.registry.register import register
from driftline.services.stack import Stack
from driftline.storage.tables.schema import migrate
from driftline.streaming.scoring.features import FeatureDefinition
from tests.integration.job import feed, saved_model


@dataclass(frozen=True)
class World:
    """Services with a model in their registry, and a folder for what jobs write.

    Attributes:
        config: the services' addresses.
        registered: the name of the registered model; its alias is champion.
    """

    stack: Stack
    config: Config
    folder: Path
    registered: str

    def section(self, model: str, **more: Any) -> dict[str, Any]:
        """The config of one model, with topics of its own."""
        return {
            "input": {
                "topic": self.topic(model, "events"),
                "event_id": "id",
                "event_time": "at",
                "time_format": "epoch_ms",
                "fields": {"amount": "float", "items": "int", "country": "string"},
                "accept": {"since": "2024-01-01", "until": "2024-12-31"},
            },
            "registry": {"name": self.registered},
            "output": {"topic": self.topic(model, "scored"), "delivery": "exactly_once"},
            "segments": ["country"],
            **more,
        }

    def topic(self, model: str, kind: str) -> str:
        """The name of one of a model's topics."""
        return f"{self.registered}-{model}-{kind}"

    def write(
        self, model: str, section: dict[str, Any], *, parallelism: int = 1, **more: Any
    ) -> Path:
        """A `driftline.yaml` of one model; its schema is migrated.

        Parameters:
            parallelism: of the job; each worker of more starts TensorFlow once more.
            more: other sections of the file.
        """
        path = self.folder / f"{model}.yaml"
        addresses = {
            "postgres": self.config.local_postgres(),
            "kafka": self.config.local_kafka(),
            "mlflow": self.config.local_mlflow(),
        }
        content = {
            "state": str(self.folder / "state"),
            "flink": {"parallelism": parallelism, "checkpoint_interval": "1 s"},
            **{name: settings.model_dump(mode="json") for name, settings in addresses.items()},
            **more,
            "models": {model: section},
        }
        path.write_text(yaml.safe_dump(content))
        models = load(path).models
        features = {name: FeatureDefinition(model).schema for name, model in models.items()}
        migrate(self.config, features)
        return path

    def make_topics(self, model: str, kinds: tuple[str, ...] = ("events", "scored")) -> None:
        """Make a model's topics, empty."""
        feed.make_topics(self.config.local_kafka(), [self.topic(model, kind) for kind in kinds])


@pytest.fixture(scope="session", autouse=True)
def transforms() -> Iterator[None]:
    """Modules of this folder are transforms: they are on the path, as a user's would be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        yield


@pytest.fixture(scope="session")
def make_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    """Makes worlds on running services."""
    saved: list[Path] = []
    folders: list[Path] = []

    def make(stack: Stack, config: Config) -> World:
        saved[:] = saved or [saved_model.save(tmp_path_factory.mktemp("model") / "saved_model")]
        folders.append(folder := tmp_path_factory.mktemp("job"))
        world = World(stack, config, folder, f"purchases-{uuid.uuid4().hex[:8]}")
        register(
            config.local_mlflow(),
            world.registered,
            saved[0],
            saved_model.reference(),
            alias="champion",
        )
        return world

    yield make
    for folder in folders:  # checkpoints are large
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def world(
    stack: Stack, empty_database: Callable[[], Config], make_world: Callable[..., World]
) -> World:
    """A database and topics of its own on the shared stack."""
    return make_world(stack, empty_database())


@pytest.fixture(scope="module")
def own_world(
    tmp_path_factory: pytest.TempPathFactory, make_world: Callable[..., World]
) -> Iterator[World]:
    """A stack of its own, whose services may be killed."""
    stack = Stack(tmp_path_factory.mktemp("stack") / "state")
    try:
        stack.up()
        yield make_world(stack, Config(state=stack.folder))
    finally:
        stack.down()
        shutil.rmtree(stack.folder, ignore_errors=True)
