"""The benchmarks' environment: a local stack, a registered model, a config for each variant."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import events
from driftline import names
from driftline.config import Config, load
from driftline.demo.train import train
from driftline.registry import aliases
from driftline.registry.client import connect as connect_registry
from driftline.registry.register import Training, register
from driftline.services.stack import Stack
from driftline.storage.connection import connect
from driftline.storage.forget import forget
from driftline.storage.tables.schema import migrate
from driftline.streaming.scoring.features import FeatureDefinition

MODEL = "bench"  # in the registry; all variants serve the same version
REFERENCE_ROWS = 50_000


@dataclass(frozen=True)
class Bench:
    """A running stack with the benchmark's model in its registry.

    Attributes:
        state: folder of the stack and of all files that the benchmarks write.
        saved_model: path of the model's SavedModel.
    """

    state: Path
    saved_model: Path

    @property
    def other_model(self) -> Path:
        """A second SavedModel of the same shape; its version has no role."""
        return self.saved_model.with_name("other_model")

    @property
    def config(self) -> Config:
        """A config with the stack's addresses."""
        return Config(state=self.state)

    @contextmanager
    def variant(
        self, name: str, section: dict[str, Any], parallelism: int = 1
    ) -> Iterator["Variant"]:
        """A model with an empty table of its own, which is emptied again at the end."""
        path = self.state / "bench" / f"{name}.yaml"
        content = {
            "state": str(self.state),
            "flink": {"parallelism": parallelism},
            "models": {name: section},
        }
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        variant = Variant(path, load(path), name)
        variant.prepare()
        try:
            yield variant
        finally:
            variant.clear()

    def section(self, topic: str, **more: Any) -> dict[str, Any]:
        """The config of a model that reads the benchmark's events."""
        section: dict[str, Any] = {
            "input": {
                "topic": topic,
                "event_id": "id",
                "event_time": "at",
                "time_format": "epoch_ms",
                "fields": dict(events.FIELDS),
                "required": list(events.NUMBERS),
                "accept": {"since": "2025-01-01", "until": "2100-01-01"},
            },
            "registry": {"name": MODEL},
        }
        return section | more


@dataclass(frozen=True)
class Variant:
    """A model of a benchmark, with its own table and ledger."""

    config_path: Path
    config: Config
    name: str

    def prepare(self) -> None:
        """Create its empty table and its output topic."""
        model = self.config.model(self.name)
        migrate(self.config, {self.name: FeatureDefinition(model).schema})
        self.clear()
        if model.output is not None:
            events.make_topic(self.config.local_kafka(), model.output.topic)

    def clear(self) -> None:
        """Delete its rows, ledger and checkpoints."""
        with connect(self.config.local_postgres(), "migrate") as connection:
            forget(connection, self.name)
        shutil.rmtree(self.config.state / "checkpoints" / self.name, ignore_errors=True)


@contextmanager
def running(state: Path, report: Any) -> Iterator[Bench]:
    """Start the stack's missing services, train and register; stop what was started."""
    stack = Stack(state)
    already_running = {service.name for service in stack.status() if service.ready}
    try:
        stack.up(progress=lambda name, text: report(f"{name}: {text}"))
        (state / "bench").mkdir(exist_ok=True)
        yield _with_model(Bench(state, state / "bench" / "saved_model"), report)
    finally:
        stack.down([name for name in stack.services if name not in already_running])


def _with_model(bench: Bench, report: Any) -> Bench:
    """Train the model, register it and make it the champion."""
    report("training")
    reference = events.table(REFERENCE_ROWS)
    numbers = np.column_stack([reference[name].to_numpy() for name in events.NUMBERS])
    labels = numbers.sum(axis=1) + np.sin(3 * numbers[:, 0]) > 0
    shutil.rmtree(bench.saved_model, ignore_errors=True)
    trained = train(reference.select(events.NUMBERS), labels, bench.saved_model, epochs=1)
    with bench.variant("bench-registration", bench.section("none")) as variant:
        definition = FeatureDefinition(variant.config.model(variant.name))
    shutil.rmtree(bench.other_model, ignore_errors=True)
    train(reference.select(events.NUMBERS), labels, bench.other_model, epochs=1, seed=1)
    for path in (bench.other_model, trained.path):
        version = register(
            bench.config.local_mlflow(),
            MODEL,
            path,
            reference.select(definition.schema.names),
            training=Training(definition.digest),
        )
    client = connect_registry(bench.config.local_mlflow())
    aliases.set_alias(client, MODEL, names.CHAMPION, version.version)  # earlier runs may move it
    return bench
