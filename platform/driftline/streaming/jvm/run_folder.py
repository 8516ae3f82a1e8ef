"""The private folder of one local Flink run: temporary files, sockets, keys and secrets.

If a run is killed, the next run of any model deletes its folder. The process that uses a folder
holds a lock in it, which the kernel releases when the process dies.
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

# leaves room for `fnapi-2147483648.sock`: a Unix socket's path has at most 107 bytes
_MAX_PATH_BYTES = 84
# PyFlink's shell script splits paths at spaces, Java's class path and Flink's settings at colons
_SAFE = re.compile(r"[A-Za-z0-9_./+-]+")
_LOCK = "lock"
_TEMPORARY = "tmp"


@contextmanager
def run_folder(parent: Path) -> Iterator[Path]:
    """Create a folder below `parent` for one run, and delete it at the end.

    Folders of killed runs in `parent` are deleted first.

    Parameters:
        parent: created if needed, and made private.

    Returns:
        A folder that only this user can enter.
    """
    private_folder(parent)
    with file_lock(parent / "jobs.lock"):  # else another run could take this one for abandoned
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

    It is outside the run's folder if that path is too long for a Unix socket, or has characters at
    which Flink's scripts or Java's class path would split it.

    Parameters:
        folder: of `run_folder`.

    Raises:
        ServiceError: the path of the system's temporary folder cannot be used either.
    """
    inside = folder.resolve() / _TEMPORARY
    if _fits(inside):
        return private_folder(inside)
    outside = Path(tempfile.mkdtemp(prefix="driftline-")).resolve()
    inside.symlink_to(outside)
    if not _fits(outside):
        raise ServiceError(
            f"can't use {str(outside)!r} for temporary files: set TMPDIR to a folder with a path "
            "of letters and digits, shorter than 60 characters"
        )
    return outside


def _fits(path: Path) -> bool:
    return len(bytes(path)) <= _MAX_PATH_BYTES and bool(_SAFE.fullmatch(str(path)))


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
