"""The source of a model to register: a path, or a URI in MLflow."""

from pathlib import Path
from typing import TYPE_CHECKING

from driftline.registry.files.download import download

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MLFLOW_SCHEMES = ("runs:/", "models:/")


def obtain(client: "MlflowClient", source: str, folder: Path) -> Path:
    """The files of a source on the local disk; those in MLflow are downloaded.

    Parameters:
        client: see `driftline.registry.client.connect`.
        source: a path, `runs:/ID/path`, `models:/NAME/VERSION`, `models:/NAME@ALIAS`.
        folder: empty, for a download.

    Raises:
        RegistryError: MLflow has no such model, or the location of its files is not allowed.
        ServiceError: MLflow is unavailable.
    """
    if not source.startswith(_MLFLOW_SCHEMES):
        return Path(source)
    return download(client, source, folder, f"can't fetch {source!r}")
