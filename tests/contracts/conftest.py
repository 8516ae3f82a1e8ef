"""A database for the module, and an empty part of a store for each test."""

from collections.abc import Callable

import pytest

from driftline.config import Config
from driftline.profile.binning import Binning
from driftline.services.stack import Stack
from tests.contracts.model import migrated, reference_binning
from tests.contracts.stores import STORES, Store


@pytest.fixture(scope="session")
def binning() -> Binning:
    return reference_binning()


@pytest.fixture(scope="module")
def database(empty_database: Callable[[], Config]) -> Config:
    """A migrated database with the model's table."""
    return migrated(empty_database())


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
