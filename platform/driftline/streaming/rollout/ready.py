"""A version made ready to serve: fetched, checked, loaded, warmed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from driftline.config import Config, Model
from driftline.errors import DriftlineError, RegistryError, ServiceError
from driftline.names import BINNING_ARTIFACT, REFERENCE_ARTIFACT
from driftline.registry.aliases import require_usable, roles
from driftline.registry.client import answering, connect
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
    return _complete(config.model(name), Located(folder, found))


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
                located = _fetched_before(config, registered.name, version, *known[version])
                yield _complete(config.model(name), located)
        except DriftlineError as error:
            problems.append(error)
        version = promotions.before(decided, current, tried)


def _fetched_before(config: Config, name: str, version: int, run_id: str, digest: str) -> Located:
    folder = cached(name, version, digest, config.folder("models"))
    if folder is None:
        raise RegistryError(f"version {version} of model {name!r} was not fetched before")
    return Located(folder, Version(name, version, run_id, digest, "", ""))


def _complete(model: Model, located: Located) -> Located:
    """See that it has what registering gives it, and that it is known which output is the score."""
    for artifact in (BINNING_ARTIFACT, REFERENCE_ARTIFACT):
        located.artifact(artifact)
    _, outputs = signature.tensors(located.folder)
    if outputs:
        rows = {
            name: np.zeros((1, *(size or 1 for size in tensor.shape)), tensor.dtype)
            for name, tensor in outputs.items()
        }
        score(rows, model.registry.score)
    return located


def make_ready(
    config: Config, name: str, located: Located, features: pa.Schema, definition: str
) -> Ready:
    """Load a version and predict once, so that its first batch does not pay for it.

    Parameters:
        features: what the feature definition gives.
        definition: its hash.

    Raises:
        RegistryError: it cannot be loaded, needs other features, fails on a row of zeros, or its
            artifacts cannot be read.
        ServiceError: its model server is away.
    """
    number = located.version.version
    try:
        runtime = load(located.folder, config.model(name).registry, number)
        runtime.check(features)
        runtime.predict(blank(features))
        record = _record(name, located, definition)
    except DriftlineError:
        raise
    except Exception as error:
        raise RegistryError(
            f"version {number} of model {name!r} fails: {type(error).__name__}: {error}"
        ) from error
    return Ready(Served(number, runtime), record)


def _record(name: str, located: Located, definition: str) -> ModelVersion:
    found = artifacts.read(located.folder)
    return ModelVersion(
        model=name,
        version=located.version.version,
        run_id=located.version.run_id,
        digest=located.version.digest,
        signature=mlmodel.signature(located.folder / layout.MANIFEST),
        features_hash=definition,
        binning=found.binning,
        reference=found.reference,
        reference_rows=found.rows,
        reference_sample=found.sample,
        reference_blocks=found.blocks,
    )
