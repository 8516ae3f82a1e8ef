"""The ways to run a model version; a new one is a module here and a line in `LOADERS`."""

from collections.abc import Callable
from pathlib import Path

from registry.loaders import saved_model
from registry.runtime import Runtime

#: By kind: loads the folder of a version, as `registry.cache.fetch` gives it.
LOADERS: dict[str, Callable[[Path], Runtime]] = {"saved_model": saved_model.load}
