"""Where a model comes from that is to be registered: a path, or a place in MLflow."""

from pathlib import Path
from typing import TYPE_CHECKING

from driftline.registry.files.download import download

if TYPE_CHECKING:
    from mlflow import MlflowClient

_IN_MLFLOW = ("runs:/", "models:/")


def obtain(client: "MlflowClient", source: str, folder: Path) -> Path:
    """The files of a source on this machine; those in MLflow are downloaded.

    Args:
        client: see `driftline.registry.client.connect`.
        source: a path, `runs:/ID/path`, `models:/NAME/VERSION`, `models:/NAME@ALIAS`.
        folder: empty, for a download.

    Raises:
        RegistryError: MLflow has no such model, or its files are in a place that is refused.
        ServiceError: MLflow does not answer.
    """
    if not source.startswith(_IN_MLFLOW):
        return Path(source)
    return download(client, source, folder, f"can't fetch {source!r}")
