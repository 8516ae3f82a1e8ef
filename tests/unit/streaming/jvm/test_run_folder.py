"""The folder of a run is private, short enough for sockets, and gone in the end."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from driftline.streaming.jvm.run_folder import run_folder, temporary_folder

PROGRAM = """
import sys
from pathlib import Path
from driftline.streaming.jvm.run_folder import run_folder, temporary_folder
with run_folder(Path(sys.argv[1])) as folder:
    print(temporary_folder(folder), flush=True)
    sys.stdin.read()
"""


def test_it_is_private_and_deleted_at_the_end(tmp_path: Path) -> None:
    with run_folder(tmp_path / "run") as folder:
        (temporary_folder(folder) / "left").touch()
        assert folder.stat().st_mode & 0o077 == 0
        assert folder.parent == tmp_path / "run"
    assert list((tmp_path / "run").glob("job-*")) == []


@pytest.mark.parametrize("length", [1, 120])
def test_what_a_killed_run_leaves_is_deleted_by_the_next(tmp_path: Path, length: int) -> None:
    parent = tmp_path / ("p" * length)
    killed = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(parent)],
        env={"PYTHONPATH": ":".join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdout is not None
    temporary = Path(killed.stdout.readline().strip())
    with run_folder(parent) as beside:  # a run that lives keeps its own
        assert temporary.is_dir()
        assert len(list(parent.glob("job-*"))) == 2
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with run_folder(parent):
            assert not temporary.exists()
            assert beside.is_dir()
    assert list(parent.glob("job-*")) == []


@pytest.mark.parametrize("length", [1, 60, 120])
def test_sockets_fit_into_the_temporary_folder(tmp_path: Path, length: int) -> None:
    with run_folder(tmp_path / ("p" * length)) as folder:
        temporary = temporary_folder(folder)
        assert temporary.stat().st_mode & 0o077 == 0
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(temporary / "fnapi-2147483648.sock"))
    assert not temporary.exists()


@pytest.mark.parametrize("name", ["my project", "a:b", "größe", "a,b*"])
def test_what_flink_would_split_is_not_in_the_temporary_folder(tmp_path: Path, name: str) -> None:
    with run_folder(tmp_path / name) as folder:
        temporary = temporary_folder(folder)
        assert not set(str(temporary)) & set(" :,*ö")
        assert (folder / "tmp").resolve() == temporary
    assert not temporary.exists()
