"""Files from MLflow: only from where an operator keeps artifacts, and never without end.

Who can write to the registry chooses where a version's files are. MLflow's client would go there:
to any host, with the password of the registry, or to any folder of this machine.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from driftline.errors import RegistryError
from driftline.registry.client import answering

if TYPE_CHECKING:
    from mlflow import MlflowClient

_AZURE = r"[^@]+@[a-z0-9.-]+\.{}\.core\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)"
#: Object stores, and what may stand where a URI has its host: MLflow sends the store's credentials
#: there. s3 and gs have a bucket, hdfs the cluster of Hadoop's own configuration.
_STORES = {
    "s3": ".*",
    "gs": ".*",
    "hdfs": "",
    "wasbs": _AZURE.format("blob"),
    "abfss": _AZURE.format("dfs"),
}
_MOST_FILES = 10_000
_MOST_BYTES = 16 * 1024**3
_HOPS = 4  # a version, the run or logged model that it is of, and the place of that


def download(client: "MlflowClient", uri: str, folder: Path, failure: str) -> Path:
    """Download the folder that a URI names.

    Args:
        client: see `driftline.registry.client.connect`.
        uri: `runs:/ID/path`, `models:/...`, `mlflow-artifacts:/...`, or one of an object store.
        folder: where it goes, empty; made when it does not exist.
        failure: how errors of the registry begin.

    Raises:
        RegistryError: there is no such folder, it is too large, or in a place that is refused.
        ServiceError: the registry is unavailable.
    """
    from mlflow.store.artifact.artifact_repository_registry import (
        get_artifact_repository,
    )
    from mlflow.tracking.artifact_utils import (
        _get_root_uri_and_artifact_path,
    )

    folder.mkdir(exist_ok=True)
    with answering(failure):
        for place in _places(client, uri, _HOPS):
            require_allowed(client, place)
        root, path = _get_root_uri_and_artifact_path(uri)
        server = client.tracking_uri
        repository = get_artifact_repository(root, tracking_uri=server, registry_uri=server)
        _require_bounded(repository, path, uri)
        return Path(repository.download_artifacts(path, str(folder)))


def require_allowed(client: "MlflowClient", place: str) -> None:
    """Refuse a place of artifacts that is neither the registry's own nor in an object store.

    Raises:
        RegistryError: it is a folder of this machine, or on another host.
    """
    if _is_allowed(urlsplit(place), urlsplit(client.tracking_uri).netloc):
        return
    raise RegistryError(
        f"artifacts in {place!r} are not used: serve them through MLflow (mlflow server "
        f"--serve-artifacts), or keep them in an object store ({', '.join(sorted(_STORES))}; of "
        "Azure its own hosts, of HDFS the configured cluster)"
    )


def _is_allowed(place: SplitResult, own: str) -> bool:
    if not place.netloc and place.path.startswith("//"):
        return False  # MLflow writes and reads URIs again, and takes what follows for a host
    if place.scheme in _STORES:
        return re.fullmatch(_STORES[place.scheme], place.netloc) is not None
    if place.scheme == "mlflow-artifacts":
        return place.netloc in ("", own)
    return place.scheme in ("http", "https") and place.netloc == own


def _places(client: "MlflowClient", uri: str, hops: int) -> Iterator[str]:
    """Where the files of a URI may be, behind MLflow's names for versions, runs and models."""
    parts = urlsplit(uri)
    if parts.scheme not in ("models", "runs"):
        yield uri
        return
    if not hops or parts.netloc:
        raise RegistryError(f"{uri!r} leads from one version to another: name the model itself")
    first, _, rest = parts.path.lstrip("/").partition("/")
    if parts.scheme == "runs":
        yield from _of_run(client, first, rest.partition("/")[0])
    elif "@" in first or rest:
        yield from _places(client, _of_version(client, uri), hops - 1)
    else:
        yield client.get_logged_model(first).artifact_location


def _of_run(client: "MlflowClient", run_id: str, name: str) -> Iterator[str]:
    """A run's own place, and those of the models of a name that it has logged."""
    info = client.get_run(run_id).info
    yield info.artifact_uri
    token, experiments = None, [info.experiment_id]
    while name and "'" not in name:
        page = client.search_logged_models(experiments, f"name = '{name}'", page_token=token)
        yield from (model.artifact_location for model in page if model.source_run_id == run_id)
        token = page.token
        if not token:
            return


def _of_version(client: "MlflowClient", uri: str) -> str:
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
    """Refuse more files or bytes than a version has, before any is downloaded."""
    todo, files, total = [path], 0, 0
    while todo:
        for found in repository.list_artifacts(todo.pop()):
            files += 1
            total += found.file_size or 0
            if files > _MOST_FILES or total > _MOST_BYTES:
                raise RegistryError(
                    f"{uri!r} has more than {_MOST_FILES:,} files or {_MOST_BYTES >> 30} GiB: "
                    "register the model alone"
                )
            if found.is_dir:
                todo.append(found.path)
