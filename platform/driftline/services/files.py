"""Private files that are written atomically, and a lock between processes."""

import fcntl
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from driftline.errors import ServiceError
from driftline.private_files import private_folder, write_private


def write_json(path: Path, content: Any) -> None:
    """`write_private` with JSON."""
    write_private(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path, default: Any) -> Any:
    """The content of a JSON file, or `default` when there is none.

    Raises:
        ServiceError: the file is there and cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default
    except OSError as error:
        raise ServiceError(f"can't read {str(path)!r}: {error.strerror}") from error
    except ValueError as error:
        raise ServiceError(
            f"can't read {str(path)!r}: {error} (delete it and run `driftline up` again)"
        ) from error


def password(path: Path) -> str:
    """The password in a file; generated, with 192 random bits, at the first call."""
    if not path.exists():
        private_folder(path.parent)
        write_private(path, secrets.token_urlsafe(24) + "\n")
    return path.read_text().strip()


def require_password(path: Path, data: Path) -> None:
    """Check that the password of existing data is not lost: a new one would not open the data.

    Raises:
        ServiceError: `data` exists and the password's file does not.
    """
    if data.exists() and not path.exists():
        raise ServiceError(
            f"can't open {str(data)!r}: its password file {str(path)!r} is missing"
            f" (restore that file, or delete {str(data.parent)!r} to start over)"
        )


def require_space(path: Path, megabytes: int, purpose: str) -> None:
    """Check that there is enough disk space.

    Raises:
        ServiceError: fewer than `megabytes` are free where `path` is, or will be.
    """
    existing = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(existing).free // 1_000_000
    if free < megabytes:
        raise ServiceError(
            f"not enough disk space at {str(existing)!r}: {purpose} needs {megabytes} MB,"
            f" {free} MB are free (free some, or point the folder to another disk)"
        )


@contextmanager
def file_lock(
    path: Path, *, timeout: float = 600, on_wait: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Hold a lock between processes; the kernel releases it when the holder dies.

    Parameters:
        timeout: seconds to wait for another holder.
        on_wait: called once with a message, if another process holds the lock.

    Raises:
        ServiceError: another process held it for all of `timeout`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        _acquire(file.fileno(), path, timeout, on_wait)
        yield


def _acquire(descriptor: int, path: Path, timeout: float, on_wait: Callable[[str], None]) -> None:
    deadline = time.monotonic() + timeout
    waiting = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not waiting:
                on_wait(f"waiting for another driftline process that holds {path.name}")
            waiting = True
        if time.monotonic() > deadline:
            raise ServiceError(
                f"can't lock {str(path)!r} within {timeout:.0f} s: another driftline process "
                "holds it"
                " (see `driftline status`, or stop that process)"
            )
        time.sleep(0.1)
