"""The ways to run a model version; to add one, add a module here and a line in `LOADERS`."""

from collections.abc import Callable
from pathlib import Path

from driftline.config import Registry, Score
from driftline.registry.files import layout
from driftline.registry.loaders import keras, saved_model, tf_serving
from driftline.registry.runtime import Runtime

#: Loaders by the kind of model in a version's folder, see `layout.kind`.
LOADERS: dict[str, Callable[[Path, Score | None], Runtime]] = {
    "saved_model": saved_model.load,
    "keras": keras.load,
}


def load(folder: Path, registered: Registry | None = None, version: int = 0) -> Runtime:
    """Load a version: through its model server if it has one, otherwise from its folder.

    Parameters:
        folder: the version's folder, from `driftline.registry.files.cache.fetch`.
        registered: the model's `registry` section; without it, the version runs in process.
        version: its number in the registry.

    Raises:
        RegistryError: the folder holds no model, or one that cannot or must not be loaded.
        ServiceError: the model server is unavailable.
    """
    if registered is not None and registered.serving is not None:
        return tf_serving.load(folder, registered, version)
    score = None if registered is None else registered.score
    return LOADERS[layout.kind(folder)](folder, score)
