"""Versions from the registry, kept in a local folder and checked every time."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from driftline.errors import RegistryError
from driftline.registry.client import answering
from driftline.registry.files import layout
from driftline.registry.files.download import download

if TYPE_CHECKING:
    from mlflow import MlflowClient


def resolve(client: "MlflowClient", name: str, alias: str) -> int:
    """The version that an alias points to now.

    Raises:
        RegistryError: no such model or alias, or the registry is down.
    """
    with answering(f"can't find model {name!r}@{alias}"):
        return int(client.get_model_version_by_alias(name, alias).version)


def fetch(client: "MlflowClient", name: str, version: int, folder: Path) -> Path:
    """The files of a version, downloaded once; checked against the version's digest each time.

    Args:
        client: see `driftline.registry.client.connect`.
        name: the registered model.
        version: its version.
        folder: the cache; many processes may share it.

    Returns:
        The version's folder: `layout.MODEL` and driftline's artifacts are in it.

    Raises:
        RegistryError: no such version, its files are not those that were registered, they could
            run code, or the registry is down.
    """
    with answering(f"can't find version {version} of model {name!r}"):
        found = client.get_model_version(name, str(version))
    expected = found.tags.get(layout.DIGEST_TAG)
    if expected is None:
        raise RegistryError(
            f"version {version} of model {name!r} has no digest: it was not registered by "
            "driftline, run 'driftline models register' with its model"
        )
    path = cached(name, version, expected, folder)
    if path is None:  # also where it was damaged here, which is no fault of the version's
        path = _path(folder, name, version, expected)
        _download(client, name, version, path)
        actual = _digest(path)
        if actual != expected:
            raise RegistryError(
                f"the files of version {version} of model {name!r} are not those that were "
                f"registered (sha256 {actual[:16]}, expected {expected[:16]}): they were changed "
                "in the registry; register the model again"
            )
    layout.refuse_code(path)
    return path


def cached(name: str, version: int, digest: str, folder: Path) -> Path | None:
    """The files of a version that was fetched before.

    Args:
        digest: of the version.

    Returns:
        Its folder, or None where it is not there or its files have changed.
    """
    path = _path(folder, name, version, digest)
    with contextlib.suppress(RegistryError):  # damaged
        if path.is_dir() and _digest(path) == digest:
            return path
    return None


def _digest(path: Path) -> str:
    """Of a version's folder without links; one that has any is deleted."""
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
    if not layout.is_digest(digest):  # a part of the path, from a tag that others can write
        raise RegistryError(
            f"version {version} of model {name!r} has the digest {digest[:80]!r}, which is none: "
            "its tag was changed in the registry, register the model again"
        )
    return folder / name / f"{version}-{digest[:16]}"


def _download(client: "MlflowClient", name: str, version: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".fetch-", dir=path.parent))
    try:
        # at once: what another process puts there meanwhile is whole, and it may be loading it
        with contextlib.suppress(FileNotFoundError):
            path.replace(temporary / "damaged")
        failure = f"can't fetch version {version} of model {name!r}"
        with answering(failure):
            source = client.get_model_version_download_uri(name, str(version))
        got = download(client, source, temporary / "version", failure)
        try:
            os.replace(got, path)
        except OSError:
            if not path.is_dir():  # else another process was first
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
