"""A version made ready to serve: fetched, checked, loaded, warmed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import yaml

from driftline.config import Config
from driftline.errors import DriftlineError, RegistryError, ServiceError
from driftline.names import (
    BINNING_ARTIFACT,
    REFERENCE_ARTIFACT,
    REFERENCE_BLOCKS_ARTIFACT,
    REFERENCE_SAMPLE_ARTIFACT,
)
from driftline.profile import blocks
from driftline.profile.binning import Binning
from driftline.profile.profile import Profile
from driftline.storage import promotions, versions
from driftline.storage.connection import Connection
from driftline.storage.versions import ModelVersion
from driftline.streaming.lineup import Served
from registry import layout
from registry.aliases import require_usable, roles
from registry.cache import cached, fetch
from registry.client import answering, connect
from registry.columns import blank
from registry.loaders import load
from registry.versions import Version

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Located:
    """A version's files on this machine, and what is known of it."""

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


@dataclass(frozen=True)
class Ready:
    """A version that can score, and what the store keeps of it."""

    served: Served
    record: ModelVersion


def locate(config: Config, name: str, client: "MlflowClient", version: int) -> Located:
    """A version, fetched and checked, not yet loaded.

    Raises:
        RegistryError: it or its artifacts are missing, or changed since they were registered.
        ServiceError: the registry is down.
    """
    registered = config.model(name).registry.name
    folder = fetch(client, registered, version, config.folder("models"))
    with answering(f"can't find version {version} of model {registered!r}"):
        found = Version.of(client.get_model_version(registered, str(version)))
    return _complete(Located(folder, found))


def candidates(
    config: Config, name: str, connection: Connection, problems: list[DriftlineError]
) -> Iterator[Located]:
    """The versions to begin with, best first: the registry's champion, then those before it.

    While the registry is away, those that were fetched before; where its alias was deleted, the
    last that driftline made champion, and those before it. None that is in quarantine or, as
    far as the registry can be asked, retired; in mode `enforce` none that was made champion outside
    driftline.

    Parameters:
        connection: of any role.
        problems: gets why versions were left out.
    """
    registered = config.model(name).registry
    decided = promotions.made(connection, name)
    barred = {one.version: one for one in promotions.quarantines(connection, name)}
    known = versions.stored(connection, name)
    client, current = None, decided[-1].version if decided else max(known, default=None)
    try:
        client = connect(config.local_mlflow())
        pointed = roles(client, registered).champion
        if not decided or config.model(name).gates.mode == "record":
            current = pointed
    except ServiceError as error:
        problems.append(error)
    except RegistryError as error:  # somebody deleted the alias, or all of the model
        if not decided:
            raise
        problems.append(error)
    tried: set[int] = set()
    version = current
    while version is not None:
        tried.add(version)
        try:
            if version in barred:
                raise RegistryError(
                    f"version {version} of model {name!r} is in quarantine: "
                    f"{barred[version].reason}: {barred[version].detail}"
                )
            if client is not None:
                require_usable(client, registered.name, version)
                yield locate(config, name, client, version)
            elif version in known:
                yield _fetched_before(config, registered.name, version, *known[version])
        except DriftlineError as error:
            problems.append(error)
        version = promotions.before(decided, current, tried)


def _fetched_before(config: Config, name: str, version: int, run_id: str, digest: str) -> Located:
    folder = cached(name, version, digest, config.folder("models"))
    if folder is None:
        raise RegistryError(f"version {version} of model {name!r} was not fetched before")
    return _complete(Located(folder, Version(name, version, run_id, digest, "", "")))


def _complete(located: Located) -> Located:
    for artifact in (BINNING_ARTIFACT, REFERENCE_ARTIFACT):
        located.artifact(artifact)
    return located


def make_ready(
    config: Config, name: str, located: Located, features: pa.Schema, definition: str
) -> Ready:
    """Load a version and predict once, so that its first batch does not pay for it.

    Parameters:
        features: what the feature definition gives.
        definition: its hash.

    Raises:
        RegistryError: it cannot be loaded, needs other features, or fails on a row of zeros.
        ServiceError: its model server is away.
    """
    number = located.version.version
    try:
        runtime = load(located.folder, config.model(name).registry, number)
        runtime.check(features)
        runtime.predict(blank(features))
    except DriftlineError:
        raise
    except Exception as error:
        raise RegistryError(
            f"version {number} of model {name!r} fails: {type(error).__name__}: {error}"
        ) from error
    return Ready(Served(number, runtime), _record(name, located, definition))


def _record(name: str, located: Located, definition: str) -> ModelVersion:
    binning = Binning.from_json(located.artifact(BINNING_ARTIFACT).read_text())
    cells = located.artifact(REFERENCE_ARTIFACT).read_bytes()
    sample = located.folder / REFERENCE_SAMPLE_ARTIFACT
    by_time = located.folder / REFERENCE_BLOCKS_ARTIFACT
    return ModelVersion(
        model=name,
        version=located.version.version,
        run_id=located.version.run_id,
        digest=located.version.digest,
        signature=_signature(located.folder / layout.MANIFEST),
        features_hash=definition,
        binning=binning,
        reference=cells,
        reference_rows=Profile.of(binning, cells).rows,
        reference_sample=sample.read_bytes() if sample.is_file() else None,
        reference_blocks=blocks.from_bytes(by_time.read_bytes()) if by_time.is_file() else (),
    )


def _signature(manifest: Path) -> dict[str, Any]:
    """Inputs and outputs from MLflow's manifest, where they are JSON inside YAML."""
    signature = yaml.safe_load(manifest.read_text()).get("signature") or {}
    return {key: json.loads(signature[key]) for key in ("inputs", "outputs") if signature.get(key)}
