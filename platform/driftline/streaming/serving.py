"""The model version that a worker serves: resolved from the registry, checked, loaded, warmed."""

import json
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
from registry.loaders import LOADERS
from registry.versions import Version

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Serving:
    """One worker's served version.

    Parameters:
        config: with the model `name` in it.
        name: the model.
        features: what the feature definition gives.
        definition: hash of the feature definition.

    Raises:
        RegistryError: the registry is down, the alias or the version's artifacts are missing,
            changed since they were registered, cannot be loaded, or need other features.
    """

    def __init__(self, config: Config, name: str, features: pa.Schema, definition: str) -> None:
        self._name = name
        self._definition = definition
        registered = config.model(name).registry
        client = connect(config.local_mlflow())
        version = resolve(client, registered.name, registered.alias)
        self._folder = fetch(client, registered.name, version, config.state / "models")
        self._version = _details(client, registered.name, version)
        runtime = LOADERS["saved_model"](self._folder)
        runtime.check(features)
        self._served = Served(version, runtime)
        self._warm(features)

    def served(self) -> Served:
        """What scores the next batch."""
        return self._served

    @cached_property
    def binning(self) -> Binning:
        """How the version's values are profiled."""
        return Binning.from_json(self._artifact(BINNING_ARTIFACT).read_text())

    def record(self) -> ModelVersion:
        """The version as the store keeps it."""
        cells = self._artifact(REFERENCE_ARTIFACT).read_bytes()
        return ModelVersion(
            model=self._name,
            version=self._served.version,
            run_id=self._version.run_id,
            digest=self._version.digest,
            signature=_signature(self._folder / layout.MANIFEST),
            features_hash=self._definition,
            binning=self.binning,
            reference=cells,
            reference_rows=Profile.of(self.binning, cells).rows,
        )

    def _artifact(self, name: str) -> Path:
        path = self._folder / name
        if not path.is_file():
            raise RegistryError(
                f"model {self._version.name!r} version {self._version.version} has no {name}: "
                "register it with 'driftline models register', which makes its reference profile"
            )
        return path

    def _warm(self, features: pa.Schema) -> None:
        """Predict once, so that the first batch does not pay for it."""
        filler = {pa.string(): "", pa.int64(): 0, pa.float64(): 0.0, pa.bool_(): False}
        row = {field.name: filler[field.type] for field in features}
        self._served.runtime.predict(pa.RecordBatch.from_pylist([row], schema=features))


def _details(client: "MlflowClient", name: str, version: int) -> Version:
    with answering(f"can't find version {version} of model {name!r}"):
        return Version.of(client.get_model_version(name, str(version)))


def _signature(manifest: Path) -> dict[str, Any]:
    """Inputs and outputs from MLflow's manifest, where they are JSON inside YAML."""
    signature = yaml.safe_load(manifest.read_text()).get("signature") or {}
    return {key: json.loads(signature[key]) for key in ("inputs", "outputs") if signature.get(key)}
