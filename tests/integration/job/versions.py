"""Versions of a world's model: registering more of them, and looking at what the job does."""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.artifacts

from driftline.config import Config
from driftline.registry.client import connect as connect_registry
from driftline.registry.register import register
from driftline.storage.connection import connect
from driftline.storage.versions import promotions
from driftline.storage.versions.promotions import Quarantine, VersionEvent
from tests.integration.job import saved_model
from tests.integration.job.conftest import World
from tests.integration.job.running import rows, wait_for
from tests.unit.registry import odd_models

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: What a version of some factor gives, as SQL.
SCORE = "{factor} * coalesce(amount, 0) + items"


@dataclass(frozen=True)
class Versions:
    """A model's versions in the registry, and its rows in the store."""

    world: World
    config: Config
    model: str

    @cached_property
    def client(self) -> "MlflowClient":
        return connect_registry(self.config.local_mlflow())

    def register(self, kind: str = "", factor: float = 0.5, rows: int = 0) -> int:
        """A version of `odd_models`, without a role."""
        folder = self.world.folder / f"odd-{kind}-{factor}-{rows}-{time.monotonic_ns()}"
        source = odd_models.save(folder, kind, factor, rows)
        return self.register_path(source)

    def register_path(self, source: Path) -> int:
        mlflow_settings = self.config.local_mlflow()
        reference = saved_model.reference(50)  # smaller than the batches that some fail on
        return register(mlflow_settings, self.world.registered, source, reference).version

    def point(self, version: int, alias: str = "champion") -> None:
        """Move an alias with MLflow's own client."""
        self.client.set_registered_model_alias(self.world.registered, alias, str(version))

    def files(self, version: int) -> Path:
        """Where the registry's server keeps a version's artifacts."""
        version_entry = self.client.get_model_version(self.world.registered, str(version))
        model_id = version_entry.source.removeprefix("models:/")
        (path,) = self.world.stack.folder.glob(f"mlflow/**/{model_id}/artifacts")
        assert mlflow.artifacts.list_artifacts(f"models:/{model_id}")
        return path

    def scored_by(self, version: int) -> int:
        """How many served rows a version has."""
        table = f"driftline.prediction_{self.model.replace('-', '_')}"
        query = f"SELECT count(*) FROM {table} WHERE model_version = %s"
        return int(rows(self.config, query, version)[0][0])

    def wait_until_it_serves(self, version: int, more_than: int = 0) -> float:
        """Seconds until a version has served more rows than some."""
        started = time.monotonic()
        wait_for(
            lambda: self.scored_by(version) > more_than, f"rows of version {version}", self.words
        )
        return time.monotonic() - started

    def events(self) -> list[VersionEvent]:
        with connect(self.config.local_postgres(), "read", autocommit=True) as connection:
            return promotions.events(connection, self.model)

    def words(self) -> str:
        """What happened so far, and the end of the workers' log."""
        events = "\n".join(map(str, self.events()))
        logs = sorted((self.config.state / "logs").rglob("*.log"))
        return events + "".join(f"\n{path}:\n{path.read_text()[-4_000:]}" for path in logs)

    def wait_for_event(self, version: int, kind: str, workers: int = 1) -> VersionEvent:
        """The first of some kind, once it has happened in so many workers."""

        def found() -> Any:
            events = [e for e in self.events() if (e.version, e.kind) == (version, kind)]
            return events[0] if len({e.worker for e in events}) >= workers else None

        event: VersionEvent = wait_for(found, f"{kind!r} of version {version}", self.words)
        return event

    def wait_for_quarantine(self, version: int) -> Quarantine:
        def found() -> Any:
            with connect(self.config.local_postgres(), "read", autocommit=True) as connection:
                barred = promotions.quarantines(connection, self.model)
            return next((entry for entry in barred if entry.version == version), None)

        quarantine: Quarantine = wait_for(found, f"quarantine of version {version}", self.words)
        return quarantine
