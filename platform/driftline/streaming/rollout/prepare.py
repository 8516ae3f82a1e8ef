"""Prepares a version for serving: fetches, checks, loads and warms it up."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from driftline.config import Config, Model
from driftline.errors import DriftlineError, RegistryError, ServiceError
from driftline.names import BINNING_ARTIFACT, REFERENCE_ARTIFACT
from driftline.registry.aliases import read_roles, require_usable
from driftline.registry.client import connect, translate_errors
from driftline.registry.columns import blank
from driftline.registry.files import artifacts, layout, mlmodel, signature
from driftline.registry.files.cache import cached, fetch
from driftline.registry.loaders import load
from driftline.registry.runtime import score
from driftline.registry.versions import Version
from driftline.storage.connection import Connection
from driftline.storage.versions import promotions, versions
from driftline.storage.versions.versions import ModelVersion
from driftline.streaming.scoring.lineup import Served

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class VersionFiles:
    """A version's files on this machine, and its entry in the registry."""

    folder: Path
    version: Version

    def artifact(self, name: str) -> Path:
        """A file that registration stores beside the model."""
        path = self.folder / name
        if not path.is_file():
            raise RegistryError(
                f"model {self.version.name!r} version {self.version.version} has no {name}: "
                "register it with 'driftline models register', which creates it"
            )
        return path


@dataclass(frozen=True)
class PreparedVersion:
    """A version that can score, and its record for the database."""

    served: Served
    record: ModelVersion


def fetch_version(config: Config, name: str, client: "MlflowClient", version: int) -> VersionFiles:
    """Fetch and check a version, without loading it.

    Raises:
        RegistryError: it or its artifacts are missing, or changed since registration.
        ServiceError: the registry is unavailable.
    """
    registered = config.model(name).registry.name
    folder = fetch(client, registered, version, config.folder("models"))
    with translate_errors(f"can't find version {version} of model {registered!r}"):
        entry = Version.of(client.get_model_version(registered, str(version)))
    return _complete(config.model(name), VersionFiles(folder, entry))


def candidates(
    config: Config, name: str, connection: Connection, problems: list[DriftlineError]
) -> Iterator[VersionFiles]:
    """The versions to start with, best first: the registry's champion, then previous champions.

    If the champion's alias was deleted, the last version that driftline promoted comes first. While
    the registry is unavailable, only versions that were fetched before are candidates. Quarantined
    versions are skipped, retired ones too if the registry is available, and with gates in mode
    `enforce` a champion that was not promoted by driftline.

    Parameters:
        connection: of any role.
        problems: collects why versions were skipped.
    """
    registered = config.model(name).registry
    decisions = promotions.champion_decisions(connection, name)
    quarantined = {entry.version: entry for entry in promotions.quarantines(connection, name)}
    stored = versions.stored(connection, name)
    client, current = None, decisions[-1].version if decisions else max(stored, default=None)
    try:
        client = connect(config.local_mlflow())
        champion = read_roles(client, registered).champion
        if not decisions or config.model(name).gates.mode == "record":
            current = champion
    except ServiceError as error:
        problems.append(error)
    except RegistryError as error:  # somebody deleted the alias, or all of the model
        if not decisions:
            raise
        problems.append(error)
    tried: set[int] = set()
    version = current
    while version is not None:
        tried.add(version)
        try:
            if version in quarantined:
                raise RegistryError(
                    f"version {version} of model {name!r} is quarantined: "
                    f"{quarantined[version].reason}: {quarantined[version].detail}"
                )
            if client is not None:
                require_usable(client, registered.name, version)
                yield fetch_version(config, name, client, version)
            elif version in stored:
                fetched = _cached(config, registered.name, version, *stored[version])
                yield _complete(config.model(name), fetched)
        except DriftlineError as error:
            problems.append(error)
        version = promotions.rollback_target(decisions, current, tried)


def _cached(config: Config, name: str, version: int, run_id: str, digest: str) -> VersionFiles:
    folder = cached(name, version, digest, config.folder("models"))
    if folder is None:
        raise RegistryError(f"version {version} of model {name!r} is not in the local cache")
    return VersionFiles(folder, Version(name, version, run_id, digest, "", ""))


def _complete(model: Model, fetched: VersionFiles) -> VersionFiles:
    """Check that it has the artifacts of registration and that its score output can be chosen."""
    for artifact in (BINNING_ARTIFACT, REFERENCE_ARTIFACT):
        fetched.artifact(artifact)
    _, outputs = signature.tensors(fetched.folder)
    if outputs:
        rows = {
            name: np.zeros((1, *(size or 1 for size in tensor.shape)), tensor.dtype)
            for name, tensor in outputs.items()
        }
        score(rows, model.registry.score)
    return fetched


def prepare(
    config: Config, name: str, fetched: VersionFiles, features: pa.Schema, definition: str
) -> PreparedVersion:
    """Load a version and predict once, so that its first batch is not slow.

    Parameters:
        features: schema of the feature definition's output.
        definition: hash of the feature definition.

    Raises:
        RegistryError: it cannot be loaded, needs other features, fails on a blank row, or its
            artifacts cannot be read.
        ServiceError: its model server is unavailable.
    """
    number = fetched.version.version
    try:
        runtime = load(fetched.folder, config.model(name).registry, number)
        runtime.check(features)
        runtime.predict(blank(features))
        record = _record(name, fetched, definition)
    except DriftlineError:
        raise
    except Exception as error:
        raise RegistryError(
            f"version {number} of model {name!r} fails: {type(error).__name__}: {error}"
        ) from error
    return PreparedVersion(Served(number, runtime), record)


def _record(name: str, fetched: VersionFiles, definition: str) -> ModelVersion:
    stored = artifacts.read(fetched.folder)
    return ModelVersion(
        model=name,
        version=fetched.version.version,
        run_id=fetched.version.run_id,
        digest=fetched.version.digest,
        signature=mlmodel.signature(fetched.folder / layout.MANIFEST),
        features_hash=definition,
        binning=stored.binning,
        reference=stored.reference,
        reference_rows=stored.rows,
        reference_sample=stored.sample,
        reference_blocks=stored.blocks,
    )
