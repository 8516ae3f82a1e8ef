"""The real services that integration tests share."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driftline.services.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack with its own data; stopped at the end.

    `DRIFTLINE_TEST_STATE` names a state folder whose stack is used, and left running, instead.
    """
    kept = os.environ.get("DRIFTLINE_TEST_STATE")
    running = Stack(Path(kept) if kept else tmp_path_factory.mktemp("stack") / "state")
    running.up()
    yield running
    if not kept:
        running.down()


@pytest.fixture
def addresses(stack: Stack) -> dict[str, Any]:
    """Where the services of the shared stack are: the content of its `stack.json`."""
    content: dict[str, Any] = json.loads((stack.folder / "stack.json").read_text())
    return content
