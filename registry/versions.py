"""The versions of registered models, as records."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftline import names
from driftline.errors import RegistryError
from driftline.profile.binning import Binning
from driftline.registry import aliases
from driftline.registry.client import translate_errors
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
        run_id: the MLflow run that created it.
        digest: sha256 of the files that a job loads, see `layout.digest`; "" if it was not
            registered by driftline.
        definition: hash of the feature definition, "" if unknown.
        binning: ID of its binning.
        aliases: the aliases that point to it, sorted.
    """

    name: str
    version: int
    run_id: str
    digest: str
    definition: str
    binning: str
    aliases: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: Any, aliases: tuple[str, ...] = ()) -> "Version":
        """From MLflow's own record."""
        tags = record.tags or {}
        return cls(
            name=record.name,
            version=int(record.version),
            run_id=record.run_id or "",
            digest=tags.get(layout.DIGEST_TAG, ""),
            definition=tags.get(layout.DEFINITION_TAG, ""),
            binning=tags.get(layout.BINNING_TAG, ""),
            aliases=aliases,
        )


def versions(client: "MlflowClient", name: str | None = None) -> list[Version]:
    """All versions of one registered model or of all, newest first within a model.

    Raises:
        RegistryError: there is no model of that name.
        ServiceError: the registry is unavailable.
    """
    with translate_errors("can't list the registered models"):
        models = _models(client, name)
        if name is not None and not models:
            raise RegistryError(f"no registered model {name!r} (driftline models list shows all)")
        return [version for model in models for version in _of_model(client, model)]


def find_identical(
    client: "MlflowClient", name: str, digest: str, definition: str
) -> Version | None:
    """The version with exactly these files and this feature definition, if there is one.

    Retired versions, and those whose files were changed in the registry, do not count.
    """
    with translate_errors(f"can't search the versions of model {name!r}"):
        records = client.search_model_versions(
            f"name = '{name}' AND tags.`{layout.DIGEST_TAG}` = '{digest}'"
        )
    for record in records:
        tags = record.tags or {}
        if tags.get(layout.DEFINITION_TAG, "") != definition or aliases.RETIRED_TAG in tags:
            continue
        if _is_intact(client, name, int(record.version)):
            return Version.of(record)
    return None


def _is_intact(client: "MlflowClient", name: str, version: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetch(client, name, version, Path(folder))
        except RegistryError:
            return False
    return True


def champion_binning(client: "MlflowClient", name: str, alias: str) -> Binning | None:
    """The binning of the version that the champion's alias points to; None if there is none."""
    record = aliases.find_by_alias(client, name, alias)
    if record is None or layout.BINNING_TAG not in record.tags:
        return None
    failure = f"can't read the binning of model {name!r} version {record.version}"
    parent, _, file = names.BINNING_ARTIFACT.rpartition("/")
    with tempfile.TemporaryDirectory() as folder:
        with translate_errors(failure):
            source = client.get_model_version_download_uri(name, record.version)
        downloaded = download(client, f"{source}/{parent}", Path(folder), failure)
        return artifacts.read_binning(downloaded / file)


def _models(client: "MlflowClient", name: str | None) -> list[Any]:
    text, token, models = f"name = '{name}'" if name else None, None, []
    while True:
        page = client.search_registered_models(text, page_token=token)
        models += page
        token = page.token
        if not token:
            return models


def _of_model(client: "MlflowClient", model: Any) -> list[Version]:
    aliases_of: dict[int, list[str]] = {}
    for alias, number in model.aliases.items():
        aliases_of.setdefault(int(number), []).append(alias)
    token, records = None, []
    while True:
        page = client.search_model_versions(f"name = '{model.name}'", page_token=token)
        records += [
            Version.of(record, tuple(sorted(aliases_of.get(int(record.version), []))))
            for record in page
        ]
        token = page.token
        if not token:
            return sorted(records, key=lambda version: -version.version)
