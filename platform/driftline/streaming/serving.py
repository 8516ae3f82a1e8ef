"""The model version that a worker serves: resolved from the registry, checked, loaded, warmed."""

import pyarrow as pa

from driftline.config import Config
from driftline.errors import RegistryError
from driftline.names import BINNING_ARTIFACT
from driftline.profile.binning import Binning
from driftline.streaming.process import Served
from registry.cache import fetch, resolve
from registry.client import connect
from registry.loaders import LOADERS


class Serving:
    """One worker's served version.

    Parameters:
        config: with the model `name` in it.
        name: the model.

    Raises:
        RegistryError: the registry is down, the alias or the version's artifacts are missing,
            changed since they were registered, or cannot be loaded.
    """

    def __init__(self, config: Config, name: str) -> None:
        registered = config.model(name).registry
        client = connect(config.local_mlflow())
        version = resolve(client, registered.name, registered.alias)
        folder = fetch(client, registered.name, version, config.state / "models")
        binning = folder / BINNING_ARTIFACT
        if not binning.is_file():
            raise RegistryError(
                f"model {registered.name!r} version {version} has no {BINNING_ARTIFACT}: register "
                "it with 'driftline models register', which makes its reference profile"
            )
        self.binning = Binning.from_json(binning.read_text())
        self._served = Served(version, LOADERS["saved_model"](folder))

    def served(self) -> Served:
        """What scores the next batch."""
        return self._served

    def warm(self, features: pa.Schema) -> None:
        """Predict once, so that the first batch does not pay for it."""
        row = pa.RecordBatch.from_pylist([{}], schema=features)
        if not self._served.runtime.unusable(row)[0].any():
            self._served.runtime.predict(row)
