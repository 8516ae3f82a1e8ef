"""A local cache of the versions' files, whose digest is checked at each use."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from driftline.errors import RegistryError
from driftline.registry.client import translate_errors
from driftline.registry.files import layout
from driftline.registry.files.download import download

if TYPE_CHECKING:
    from mlflow import MlflowClient


def resolve(client: "MlflowClient", name: str, alias: str) -> int:
    """The version that an alias points to now.

    Raises:
        RegistryError: there is no such model or alias.
        ServiceError: the registry is unavailable.
    """
    with translate_errors(f"can't find model {name!r}@{alias}"):
        return int(client.get_model_version_by_alias(name, alias).version)


def fetch(client: "MlflowClient", name: str, version: int, folder: Path) -> Path:
    """The files of a version, downloaded once and checked against its digest at each call.

    Parameters:
        client: see `driftline.registry.client.connect`.
        name: the registered model.
        version: its version.
        folder: the cache; processes may share it.

    Returns:
        The version's folder, with `layout.MODEL` and driftline's artifacts.

    Raises:
        RegistryError: there is no such version, its files differ from the registered ones, or they
            could run code.
        ServiceError: the registry is unavailable.
    """
    with translate_errors(f"can't find version {version} of model {name!r}"):
        record = client.get_model_version(name, str(version))
    expected = record.tags.get(layout.DIGEST_TAG)
    if expected is None:
        raise RegistryError(
            f"version {version} of model {name!r} has no digest because it was not registered by "
            "driftline: run 'driftline models register' with its model"
        )
    path = cached(name, version, expected, folder)
    if path is None:  # not downloaded yet, or the local copy is damaged
        path = _path(folder, name, version, expected)
        _download(client, name, version, path)
        actual = _digest(path)
        if actual != expected:
            raise RegistryError(
                f"the files of version {version} of model {name!r} were changed in the registry "
                f"(sha256 {actual[:16]}, expected {expected[:16]}): register the model again"
            )
    layout.refuse_code(path)
    return path


def cached(name: str, version: int, digest: str, folder: Path) -> Path | None:
    """The folder of a version that was fetched before; None if it is missing or has changed.

    Parameters:
        digest: the version's digest.
    """
    path = _path(folder, name, version, digest)
    with contextlib.suppress(RegistryError):  # damaged
        if path.is_dir() and _digest(path) == digest:
            return path
    return None


def _digest(path: Path) -> str:
    """The digest of a version's folder; a folder that contains links is deleted."""
    try:
        layout.refuse_links(path)
    except RegistryError:
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)
        raise
    return layout.digest(path)


def _path(folder: Path, name: str, version: int, digest: str) -> Path:
    if not layout.is_digest(digest):  # untrusted: a tag becomes a part of the path
        raise RegistryError(
            f"version {version} of model {name!r} has an invalid digest {digest[:80]!r}: its tag "
            "was changed in the registry, register the model again"
        )
    return folder / name / f"{version}-{digest[:16]}"


def _download(client: "MlflowClient", name: str, version: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".fetch-", dir=path.parent))
    try:
        # move a damaged copy in one step: another process may put a good one there and load it
        with contextlib.suppress(FileNotFoundError):
            path.replace(temporary / "damaged")
        failure = f"can't fetch version {version} of model {name!r}"
        with translate_errors(failure):
            source = client.get_model_version_download_uri(name, str(version))
        downloaded = download(client, source, temporary / "version", failure)
        try:
            os.replace(downloaded, path)
        except OSError:
            if not path.is_dir():  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
