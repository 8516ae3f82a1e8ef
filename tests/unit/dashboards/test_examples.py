"""The examples in docstrings."""

import doctest
import importlib

import pytest

MODULES = ["macros", "scope", "uids", "preview.interval"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"dashboards.{name}")).failed == 0
