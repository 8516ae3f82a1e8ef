"""The private folder of one local Flink run: temporary files, sockets, keys and secrets.

A run that is killed can't clean up; the next run of any model does. Whoever uses a folder holds a
lock in it, and the kernel lets go of it when its process dies.
"""

import fcntl
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftline.errors import ServiceError
from driftline.private_files import private_folder
from driftline.services.files import file_lock

# `fnapi-2147483648.sock` must fit behind it: a Unix socket's path has at most 107 bytes
_LONGEST_FOLDER = 84
# PyFlink's shell script splits at blanks, Java's class path and Flink's settings at colons
_SAFE = re.compile(r"[A-Za-z0-9_./+-]+")
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
    with file_lock(parent / "jobs.lock"):  # or another run could take ours for abandoned
        _delete_abandoned(parent)
        folder = Path(tempfile.mkdtemp(dir=parent, prefix="job-"))
        lock = (folder / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        try:
            yield folder
        finally:
            _delete(folder)


def temporary_folder(folder: Path) -> Path:
    """A folder for the JVM's temporary files and sockets, deleted with the run's folder.

    It is elsewhere where the run's own path is too long for a Unix socket, or holds what Flink's
    scripts and Java's class path would split.

    Parameters:
        folder: of `run_folder`.

    Raises:
        ServiceError: the path of the system's temporary folder is no better.
    """
    inside = folder.resolve() / _TEMPORARY
    if _fits(inside):
        return private_folder(inside)
    elsewhere = Path(tempfile.mkdtemp(prefix="driftline-")).resolve()
    inside.symlink_to(elsewhere)
    if not _fits(elsewhere):
        raise ServiceError(
            f"can't use {str(elsewhere)!r} for temporary files: set TMPDIR to a folder with a path "
            "of letters and digits, shorter than 60 characters"
        )
    return elsewhere


def _fits(path: Path) -> bool:
    return len(bytes(path)) <= _LONGEST_FOLDER and bool(_SAFE.fullmatch(str(path)))


def _delete_abandoned(parent: Path) -> None:
    for folder in parent.glob("job-*"):
        if not folder.is_dir():
            continue
        try:
            with (folder / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _delete(folder)
        except OSError:  # in use, or of another user
            continue


def _delete(folder: Path) -> None:
    temporary = folder / _TEMPORARY
    if temporary.is_symlink():
        shutil.rmtree(temporary.resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
