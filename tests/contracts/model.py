"""The model that the writing tests share: its section, its bins, its database."""

from typing import Any

import numpy as np
import pyarrow as pa

from driftline.config import Config, Model
from driftline.profile.binning import Binning
from driftline.profile.build import build
from driftline.storage.tables import schema
from tests.contracts.messages import FEATURES, MODEL

SECTION: dict[str, Any] = {
    "input": {
        "topic": "events",
        "event_id": "event_id",
        "event_time": "event_time",
        "fields": {"amount": "float", "items": "int", "country": "string", "new": "bool"},
    },
    "registry": {"name": MODEL},
    "segments": ["country"],
}


def reference_binning() -> Binning:
    """Bins of an ordinary reference."""
    rng = np.random.default_rng(0)
    reference = pa.table(
        {
            "amount": rng.uniform(0, 40, 2_000),
            "items": rng.integers(0, 500, 2_000),
            "country": rng.choice(["de", "fr"], 2_000),
            "new": rng.choice([True, False], 2_000),
        }
    )
    return build(reference.cast(FEATURES), rng.uniform(0, 1, 2_000))


def migrated(config: Config, **more: Any) -> Config:
    """The config with the model in it, its tables made in an empty database."""
    models = {MODEL: Model.model_validate(SECTION | more)}
    config = config.model_copy(update={"models": models})
    schema.migrate(config, {MODEL: FEATURES})
    return config
