"""The examples in docstrings run and give what they show."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "platform" / "driftline"]
FOLDERS += [ROOT / name for name in ("monitors", "registry", "dashboards")]
MODULES = sorted(
    ".".join(("driftline", *path.relative_to(folder.parent).with_suffix("").parts))
    .replace("driftline.driftline", "driftline")
    .removesuffix(".__init__")
    for folder in FOLDERS
    for path in folder.rglob("*.py")
    if ">>> " in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
