"""The ways to run a model version; a new one is a module here and a line in `LOADERS`."""

from collections.abc import Callable
from pathlib import Path

from registry import layout
from registry.loaders import keras, saved_model
from registry.runtime import Runtime

#: By what a version's folder holds, see `layout.kind`.
LOADERS: dict[str, Callable[[Path], Runtime]] = {
    "saved_model": saved_model.load,
    "keras": keras.load,
}


def load(folder: Path) -> Runtime:
    """Load a version by what its folder holds.

    Args:
        folder: as `registry.cache.fetch` gives it.

    Raises:
        RegistryError: it holds no model, or one that cannot or must not be loaded.
    """
    return LOADERS[layout.kind(folder)](folder)
