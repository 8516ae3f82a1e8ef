"""Downloads from MLflow, restricted to trusted locations and a maximum size.

Anybody with write access to the registry can choose the location of a version's files. MLflow's
client follows it to any host, with the registry's password, or to any local folder.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from driftline.errors import RegistryError
from driftline.registry.client import translate_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

_AZURE = r"[^@]+@[a-z0-9.-]+\.{}\.core\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)"
#: Object stores, and the allowed host parts of their URIs: MLflow sends the store's credentials to
#: that host. For s3 and gs it is a bucket, for hdfs the cluster of Hadoop's own configuration.
_STORES = {
    "s3": ".*",
    "gs": ".*",
    "hdfs": "",
    "wasbs": _AZURE.format("blob"),
    "abfss": _AZURE.format("dfs"),
}
_MAX_FILES = 10_000
_MAX_BYTES = 16 * 1024**3
_MAX_HOPS = 4  # from a version to its run or logged model, and to the location of that


def download(client: "MlflowClient", uri: str, folder: Path, failure: str) -> Path:
    """Download the folder at a URI.

    Parameters:
        client: see `driftline.registry.client.connect`.
        uri: `runs:/ID/path`, `models:/...`, `mlflow-artifacts:/...`, or that of an object store.
        folder: the destination, empty; created if it does not exist.
        failure: the beginning of the registry's error messages.

    Raises:
        RegistryError: there is no such folder, it is too large, or its location is not allowed.
        ServiceError: the registry is unavailable.
    """
    from mlflow.store.artifact.artifact_repository_registry import (
        get_artifact_repository,
    )
    from mlflow.tracking.artifact_utils import (
        _get_root_uri_and_artifact_path,
    )

    folder.mkdir(exist_ok=True)
    with translate_errors(failure):
        for location in _locations(client, uri, _MAX_HOPS):
            require_allowed(client, location)
        root, path = _get_root_uri_and_artifact_path(uri)
        server = client.tracking_uri
        repository = get_artifact_repository(root, tracking_uri=server, registry_uri=server)
        _require_bounded(repository, path, uri)
        return Path(repository.download_artifacts(path, str(folder)))


def require_allowed(client: "MlflowClient", location: str) -> None:
    """Refuse a location of artifacts that is neither the registry's own nor in an object store.

    Raises:
        RegistryError: it is a local folder, or on another host.
    """
    if _is_allowed(urlsplit(location), urlsplit(client.tracking_uri).netloc):
        return
    raise RegistryError(
        f"artifacts at {location!r} are not allowed: serve them through MLflow (mlflow server "
        f"--serve-artifacts), or keep them in an object store ({', '.join(sorted(_STORES))}; for "
        "Azure only its own hosts, for HDFS only the configured cluster)"
    )


def _is_allowed(location: SplitResult, registry_host: str) -> bool:
    if not location.netloc and location.path.startswith("//"):
        return False  # MLflow parses the URI again, and then takes the rest for a host
    if location.scheme in _STORES:
        return re.fullmatch(_STORES[location.scheme], location.netloc) is not None
    if location.scheme == "mlflow-artifacts":
        return location.netloc in ("", registry_host)
    return location.scheme in ("http", "https") and location.netloc == registry_host


def _locations(client: "MlflowClient", uri: str, max_hops: int) -> Iterator[str]:
    """The possible locations of a URI's files, which may name a version, a run or a model."""
    parts = urlsplit(uri)
    if parts.scheme not in ("models", "runs"):
        yield uri
        return
    if not max_hops or parts.netloc:
        raise RegistryError(
            f"{uri!r} refers to a version that refers to further versions: use the model's own URI"
        )
    name, _, path = parts.path.lstrip("/").partition("/")
    if parts.scheme == "runs":
        yield from _run_locations(client, name, path.partition("/")[0])
    elif "@" in name or path:
        yield from _locations(client, _version_uri(client, uri), max_hops - 1)
    else:
        yield client.get_logged_model(name).artifact_location


def _run_locations(client: "MlflowClient", run_id: str, name: str) -> Iterator[str]:
    """A run's own location, and the locations of the models of that name that it has logged."""
    info = client.get_run(run_id).info
    yield info.artifact_uri
    token, experiments = None, [info.experiment_id]
    while name and "'" not in name:
        page = client.search_logged_models(experiments, f"name = '{name}'", page_token=token)
        yield from (model.artifact_location for model in page if model.source_run_id == run_id)
        token = page.token
        if not token:
            return


def _version_uri(client: "MlflowClient", uri: str) -> str:
    from mlflow.store.artifact.models_artifact_repo import (
        ModelsArtifactRepository,
    )
    from mlflow.store.artifact.utils.models import (
        get_model_name_and_version,
    )

    root, _ = ModelsArtifactRepository.split_models_uri(uri)
    name, version = get_model_name_and_version(client, root)
    return str(client.get_model_version_download_uri(name, version))


def _require_bounded(repository: Any, path: str, uri: str) -> None:
    """Refuse more files or bytes than a version needs, before the download."""
    todo, files, total = [path], 0, 0
    while todo:
        for entry in repository.list_artifacts(todo.pop()):
            files += 1
            total += entry.file_size or 0
            if files > _MAX_FILES or total > _MAX_BYTES:
                raise RegistryError(
                    f"{uri!r} has more than {_MAX_FILES:,} files or {_MAX_BYTES >> 30} GiB: "
                    "register the folder of the model only"
                )
            if entry.is_dir:
                todo.append(entry.path)
