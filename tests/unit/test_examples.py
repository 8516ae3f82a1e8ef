"""The examples of docstrings run as they stand."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {
    "driftline": ROOT / "platform",
    "monitors": ROOT,
    "registry": ROOT,
    "dashboards": ROOT,
}
MODULES = sorted(
    ".".join(path.relative_to(place).with_suffix("").parts).removesuffix(".__init__")
    for package, place in SOURCES.items()
    for path in (place / package).rglob("*.py")
    if "_alembic" not in path.parts and ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted > 0
    assert found.failed == 0
