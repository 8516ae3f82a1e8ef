"""The tests of `make test-fast`, found by themselves: without a service, without TensorFlow.

What asks for a fixture of tests/conftest.py needs a service. What is marked `tensorflow` loads it,
for 7 s in each process; it can't be loaded here, so that what lacks the mark fails.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

_SERVICES = Path(__file__).with_name("conftest.py")
_INSTEAD = """raise ImportError(
    "make test-fast runs without TensorFlow: mark this test with pytest.mark.tensorflow"
)
"""
_folder = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Put a TensorFlow in front that can't be imported, for this process and its children."""
    folder = Path(tempfile.mkdtemp())
    (folder / "tensorflow.py").write_text(_INSTEAD)
    sys.path.insert(0, str(folder))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join((str(folder), before) if before else (str(folder),))
    config.stash[_folder] = folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take it away."""
    shutil.rmtree(config.stash[_folder])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the others."""
    slow = [one for one in items if _needs_a_service(one) or one.get_closest_marker("tensorflow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [one for one in items if one not in slow]


def _needs_a_service(item: pytest.Item) -> bool:
    if not isinstance(item, pytest.Function):
        return False
    definitions = item._fixtureinfo.name2fixturedefs.values()
    files = (Path(one.func.__code__.co_filename) for many in definitions for one in many)
    return _SERVICES in files
