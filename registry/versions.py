"""What the registry knows of a model's versions."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftline import names
from driftline.errors import RegistryError
from driftline.profile.binning import Binning
from driftline.registry import aliases
from driftline.registry.client import answering
from driftline.registry.files import artifacts, layout
from driftline.registry.files.cache import fetch
from driftline.registry.files.download import download

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    Attributes:
        name: the registered model.
        version: its number, from 1.
        run_id: the MLflow run that made it.
        digest: sha256 over what a job loads, see `layout.digest`; "" when not registered here.
        definition: hash of the feature definition, "" when unknown.
        binning: id of its binning.
        aliases: those that point to it, sorted.
    """

    name: str
    version: int
    run_id: str
    digest: str
    definition: str
    binning: str
    aliases: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: Any, aliases: tuple[str, ...] = ()) -> "Version":
        """From MLflow's own record."""
        tags = found.tags or {}
        return cls(
            name=found.name,
            version=int(found.version),
            run_id=found.run_id or "",
            digest=tags.get(layout.DIGEST_TAG, ""),
            definition=tags.get(layout.DEFINITION_TAG, ""),
            binning=tags.get(layout.BINNING_TAG, ""),
            aliases=aliases,
        )


def versions(client: "MlflowClient", name: str | None = None) -> list[Version]:
    """All versions of one or of all registered models, newest first within a model.

    Raises:
        RegistryError: the registry is down, or there is no model of that name.
    """
    with answering("can't list the registered models"):
        models = list(_pages(client, name))
        if name is not None and not models:
            raise RegistryError(f"no registered model {name!r} (driftline models list shows all)")
        return [version for model in models for version in _of_model(client, model)]


def find(client: "MlflowClient", name: str, digest: str, definition: str) -> Version | None:
    """The version with these very files and this feature definition, if there is one.

    None that was retired, or whose files in the registry are not those that were registered.
    """
    with answering(f"can't look for model {name!r}"):
        found = client.search_model_versions(
            f"name = '{name}' AND tags.`{layout.DIGEST_TAG}` = '{digest}'"
        )
    for version in found:
        tags = version.tags or {}
        if tags.get(layout.DEFINITION_TAG, "") != definition or aliases.RETIRED_TAG in tags:
            continue
        if _is_whole(client, name, int(version.version)):
            return Version.of(version)
    return None


def _is_whole(client: "MlflowClient", name: str, version: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetch(client, name, version, Path(folder))
        except RegistryError:
            return False
    return True


def champion_binning(client: "MlflowClient", name: str, alias: str) -> Binning | None:
    """The binning of the version that serves now, by its alias; None when there is none."""
    version = aliases.holder(client, name, alias)
    if version is None or layout.BINNING_TAG not in version.tags:
        return None
    failure = f"can't read the binning of model {name!r} version {version.version}"
    place, _, file = names.BINNING_ARTIFACT.rpartition("/")
    with tempfile.TemporaryDirectory() as folder:
        with answering(failure):
            source = client.get_model_version_download_uri(name, version.version)
        got = download(client, f"{source}/{place}", Path(folder), failure)
        return artifacts.binning(got / file)


def _pages(client: "MlflowClient", name: str | None) -> list[Any]:
    text, token, models = f"name = '{name}'" if name else None, None, []
    while True:
        page = client.search_registered_models(text, page_token=token)
        models += page
        token = page.token
        if not token:
            return models


def _of_model(client: "MlflowClient", model: Any) -> list[Version]:
    pointing: dict[int, list[str]] = {}
    for alias, version in model.aliases.items():
        pointing.setdefault(int(version), []).append(alias)
    token, found = None, []
    while True:
        page = client.search_model_versions(f"name = '{model.name}'", page_token=token)
        found += [
            Version.of(version, tuple(sorted(pointing.get(int(version.version), []))))
            for version in page
        ]
        token = page.token
        if not token:
            return sorted(found, key=lambda version: -version.version)
