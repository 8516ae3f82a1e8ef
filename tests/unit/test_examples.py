"""The examples of docstrings run as they stand."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = [ROOT / "platform" / "driftline"]
ROOMS += [ROOT / name for name in ("monitors", "registry", "dashboards")]
MODULES = sorted(
    ".".join(("driftline", *path.relative_to(room.parent).with_suffix("").parts))
    .replace("driftline.driftline", "driftline")
    .removesuffix(".__init__")
    for room in ROOMS
    for path in room.rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0
