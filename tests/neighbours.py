"""What a user may have beside driftline: packages of the names of our folders, and a transform."""

from pathlib import Path

TRANSFORM = "neighbouring:transform"
_OURS = ("monitors", "registry", "dashboards")
_TRANSFORM = """\
import pyarrow as pa
from dashboards import NAME as dashboards
from monitors import NAME as monitors
from registry import NAME as registry

def transform(events: pa.RecordBatch) -> pa.RecordBatch:
    assert (dashboards, monitors, registry) == ("dashboards", "monitors", "registry")
    return events.select([name for name in events.schema.names if not name.startswith("event_")])
"""


def write(folder: Path) -> Path:
    """Write them below a folder for PYTHONPATH: packages of their own, `driftline` as a plain
    folder of scripts, and a transform that needs the packages."""
    for name in _OURS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"NAME = {name!r}\n")
    (folder / "driftline").mkdir()
    for name in ("names", "config", "storage"):
        (folder / "driftline" / f"{name}.py").write_text("raise ImportError('not ours')\n")
    (folder / "neighbouring.py").write_text(_TRANSFORM)
    return folder
