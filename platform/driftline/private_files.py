"""Files and folders that only their owner can read."""

import os
import tempfile
from pathlib import Path

from driftline.errors import ServiceError


def private_folder(path: Path) -> Path:
    """Create a folder that only its owner can enter, and return it.

    Raises:
        ServiceError: it belongs to another user, or cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise ServiceError(
            f"can't use the folder {str(path)!r}: {error.strerror}"
            " (set `state` in driftline.yaml to a folder that this user owns, such as one below it)"
        ) from error
    return path


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file with mode 0600; readers see either the old or the new content, never a part."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
