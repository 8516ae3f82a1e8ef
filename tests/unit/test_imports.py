"""Two folders of this tree have the names of modules; neither may hide one."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "program",
    [
        "import platform; assert platform.system()",
        "import alembic; assert 'site-packages' in alembic.__file__",
        "import driftline, monitors, registry, dashboards",
    ],
)
def test_imports_from_the_root_of_the_tree(program: str) -> None:
    path = "import sys; sys.path.append('platform'); "
    subprocess.run([sys.executable, "-c", path + program], cwd=ROOT, check=True, timeout=60)
