"""The private folder of one local Flink run: temporary files, sockets, keys and secrets.

A run that is killed can't clean up; the next run of any model does. Whoever uses a folder holds a
lock in it, and the kernel lets go of it when its process dies.
"""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftline.private_files import private_folder

# `fnapi-2147483648.sock` must fit behind it: a Unix socket's path has at most 107 bytes
_LONGEST_FOLDER = 84
_LOCK = "lock"
_TEMPORARY = "tmp"


@contextmanager
def run_folder(parent: Path) -> Iterator[Path]:
    """Make a folder below `parent` for one run, and delete it at the end.

    Folders that killed runs have left in `parent` are deleted first.

    Parameters:
        parent: made private where it is not.

    Returns:
        A folder that only this user can enter.
    """
    private_folder(parent)
    _delete_abandoned(parent)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix="job-"))
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            _delete(folder)


def temporary_folder(folder: Path) -> Path:
    """A folder for the JVM's temporary files and sockets, deleted with the run's folder.

    It is elsewhere where the run's own path is too long for a Unix socket.

    Parameters:
        folder: of `run_folder`.
    """
    inside = folder / _TEMPORARY
    if len(bytes(inside.resolve())) <= _LONGEST_FOLDER:
        return private_folder(inside)
    elsewhere = Path(tempfile.mkdtemp(prefix="driftline-"))
    inside.symlink_to(elsewhere)
    return elsewhere


def _delete_abandoned(parent: Path) -> None:
    for folder in parent.glob("job-*"):
        if not folder.is_dir():
            continue
        try:
            with (folder / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _delete(folder)
        except (BlockingIOError, FileNotFoundError):  # in use, or another run has just deleted it
            continue


def _delete(folder: Path) -> None:
    temporary = folder / _TEMPORARY
    if temporary.is_symlink():
        shutil.rmtree(temporary.resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
