"""One package, `driftline`: nothing of the tree, of a user or of the machine takes its place."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests import neighbours

ROOT = Path(__file__).parents[2]
SECTION = {
    "input": {
        "topic": "events",
        "event_id": "id",
        "event_time": "at",
        "fields": {"amount": "float"},
    },
    "registry": {"name": "m"},
    "features": {"transform": neighbours.TRANSFORM},
}
# Each place where a module looks for files beside its own.
FILES = """
import driftline
from driftline.dashboards.preview import server
from driftline.services import jars
from driftline.storage.tables import schema
from driftline.streaming.flink import always_active
from driftline.streaming.jvm import gateway

package = __import__("pathlib").Path(driftline.__file__).parent
assert str(package).startswith({folder!r}), package
found = [
    *(server._STATIC / name for name in ("page.html", "page.js", "draw.js", "icon.svg")),
    jars._pom(),
    *(schema._folder() / name for name in ("env.py", "versions/0001_offsets.py")),
    always_active._SOURCE,
    *(gateway._RESOURCES / name for name in ("BeamSockets.java", "job-log4j.properties")),
    package / "services" / "mlflow_server.py",
]
missing = [str(path) for path in found if not path.is_file() or package not in path.parents]
assert not missing, missing
"""


@pytest.mark.parametrize(
    "program",
    [
        "import platform; assert platform.system()",
        "import alembic; assert 'site-packages' in alembic.__file__",
        "import driftline.monitors, driftline.registry, driftline.dashboards",
    ],
)
def test_imports_from_the_root_of_the_tree(program: str) -> None:
    path = "import sys; sys.path.append('platform'); "
    subprocess.run([sys.executable, "-c", path + program], cwd=ROOT, check=True, timeout=60)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120, capture_output=True)
    (packed,) = folder.glob("*.whl")
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_is_one_package_with_its_files(wheel: Path, tmp_path: Path) -> None:
    assert {path.name for path in wheel.iterdir() if path.suffix != ".dist-info"} == {"driftline"}
    sources = [path for path in (wheel / "driftline").rglob("*.py") if "_alembic" not in path.parts]
    folders = [ROOT / name for name in ("platform", "monitors", "registry", "dashboards")]
    assert len(sources) == sum(1 for folder in folders for _ in folder.rglob("*.py"))
    subprocess.run(
        [sys.executable, "-c", FILES.format(folder=str(wheel))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        check=True,
        timeout=120,
    )


@pytest.mark.parametrize("place", ["root", "parent", "wheel"])
def test_a_users_own_packages_stand_beside_ours(place: str, wheel: Path, tmp_path: Path) -> None:
    """Packages of our folders' names, and a plain folder `driftline`, come first on the path."""
    first = neighbours.write(tmp_path / "own")
    path = os.pathsep.join((str(first), *([str(wheel)] if place == "wheel" else [])))
    file = tmp_path / "driftline.yaml"
    file.write_text(yaml.safe_dump({"state": str(tmp_path / "s"), "models": {"m": SECTION}}))
    done = subprocess.run(
        [sys.executable, "-P", "-c", EVERY_COMMAND, str(file)],
        cwd={"root": ROOT, "parent": ROOT.parent, "wheel": tmp_path}[place],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[-1]) > 50


EVERY_COMMAND = """
import sys
import typer
from typer.testing import CliRunner
from driftline.cli.app import app

def run(*words):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, (words, result.output, result.exception)

def helped(command, words):
    run(*words, "--help")
    inner = getattr(command, "commands", {})
    return 1 + sum(helped(one, (*words, name)) for name, one in inner.items())

run("config", "check", "-c", sys.argv[1])
print(helped(typer.main.get_command(app), ()))
"""
