"""A database for the module, and an empty part of a store for each test."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from driftline.config import Config, Model
from driftline.profile.binning import Binning
from driftline.profile.build import build
from driftline.services.stack import Stack
from driftline.storage import schema
from tests.contracts.messages import FEATURES, MODEL
from tests.contracts.stores import STORES, Store

SECTION = {
    "input": {
        "topic": "events",
        "event_id": "event_id",
        "event_time": "event_time",
        "fields": {"amount": "float", "items": "int", "country": "string", "new": "bool"},
    },
    "registry": {"name": MODEL},
    "segments": ["country"],
}


@pytest.fixture(scope="session")
def binning() -> Binning:
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


@pytest.fixture(scope="module")
def database(empty_database: Callable[[], Config]) -> Config:
    """A migrated database with the model's table."""
    models = {MODEL: Model.model_validate(SECTION)}
    config = empty_database().model_copy(update={"models": models})
    schema.migrate(config, {MODEL: FEATURES})
    return config


@pytest.fixture(params=STORES)
def new_store(
    request: pytest.FixtureRequest, stack: Stack, database: Config, binning: Binning
) -> Callable[[], Store]:
    """Makes empty parts of a sink's store."""
    return lambda: STORES[request.param](stack, database, binning)


@pytest.fixture
def store(new_store: Callable[[], Store]) -> Store:
    """An empty part of a sink's store."""
    return new_store()
