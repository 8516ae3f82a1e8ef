"""The model version that a worker serves: resolved from the registry, checked, loaded, warmed."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import yaml

from driftline.config import Config
from driftline.errors import RegistryError
from driftline.names import BINNING_ARTIFACT, REFERENCE_ARTIFACT
from driftline.profile.binning import Binning
from driftline.profile.profile import Profile
from driftline.storage.versions import ModelVersion
from driftline.streaming.process import Served
from registry import layout
from registry.cache import fetch, resolve
from registry.client import answering, connect
from registry.columns import blank
from registry.loaders import load
from registry.versions import Version

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Located:
    """A version's files on this machine, and what the registry says of it."""

    folder: Path
    version: Version

    def artifact(self, name: str) -> Path:
        """A file that registering has put beside the model."""
        path = self.folder / name
        if not path.is_file():
            raise RegistryError(
                f"model {self.version.name!r} version {self.version.version} has no {name}: "
                "register it with 'driftline models register', which makes its reference profile"
            )
        return path


def locate(config: Config, name: str) -> Located:
    """The version that the model's alias points to now, fetched and checked, not yet loaded.

    Raises:
        RegistryError: the alias or the version's artifacts are missing, or changed since they
            were registered.
        ServiceError: the registry is down.
    """
    registered = config.model(name).registry
    client = connect(config.local_mlflow())
    version = resolve(client, registered.name, registered.alias)
    folder = fetch(client, registered.name, version, config.state / "models")
    located = Located(folder, _details(client, registered.name, version))
    for artifact in (BINNING_ARTIFACT, REFERENCE_ARTIFACT):
        located.artifact(artifact)
    return located


class Serving:
    """One worker's served version.

    Parameters:
        config: with the model `name` in it.
        name: the model.
        features: what the feature definition gives.
        definition: hash of the feature definition.

    Raises:
        RegistryError: the alias or the version's artifacts are missing, changed since they were
            registered, cannot be loaded, or need other features.
        ServiceError: the registry is down.
    """

    def __init__(self, config: Config, name: str, features: pa.Schema, definition: str) -> None:
        self._name = name
        self._definition = definition
        self._located = locate(config, name)
        registered, version = config.model(name).registry, self._located.version.version
        runtime = load(self._located.folder, registered, version)
        runtime.check(features)
        self._served = Served(self._located.version.version, runtime)
        self._warm(features)

    def served(self) -> Served:
        """What scores the next batch."""
        return self._served

    @cached_property
    def binning(self) -> Binning:
        """How the version's values are profiled."""
        return Binning.from_json(self._located.artifact(BINNING_ARTIFACT).read_text())

    def record(self) -> ModelVersion:
        """The version as the store keeps it."""
        cells = self._located.artifact(REFERENCE_ARTIFACT).read_bytes()
        return ModelVersion(
            model=self._name,
            version=self._served.version,
            run_id=self._located.version.run_id,
            digest=self._located.version.digest,
            signature=_signature(self._located.folder / layout.MANIFEST),
            features_hash=self._definition,
            binning=self.binning,
            reference=cells,
            reference_rows=Profile.of(self.binning, cells).rows,
        )

    def _warm(self, features: pa.Schema) -> None:
        """Predict once, so that the first batch does not pay for it."""
        self._served.runtime.predict(blank(features))


def _details(client: "MlflowClient", name: str, version: int) -> Version:
    with answering(f"can't find version {version} of model {name!r}"):
        return Version.of(client.get_model_version(name, str(version)))


def _signature(manifest: Path) -> dict[str, Any]:
    """Inputs and outputs from MLflow's manifest, where they are JSON inside YAML."""
    signature = yaml.safe_load(manifest.read_text()).get("signature") or {}
    return {key: json.loads(signature[key]) for key in ("inputs", "outputs") if signature.get(key)}
