"""Where a job's checkpoints are, and which of them it starts from."""

import logging
import shutil
from pathlib import Path
from urllib.parse import unquote, urlparse

from driftline.config import Config
from driftline.errors import ConfigError
from driftline.private_files import private_folder, write_private
from driftline.storage.connection import connect
from driftline.storage.log.forget import times

_FORGOTTEN = "forgotten"  # how often the model was, when these checkpoints began

log = logging.getLogger(__name__)


def checkpoint_folder(config: Config, name: str) -> str:
    """Where a model's checkpoints are, as a URI."""
    if config.flink.checkpoint_dir is not None:
        return f"{config.flink.checkpoint_dir.rstrip('/')}/{name}"
    return (config.state / "checkpoints" / name).resolve().as_uri()


def discard_forgotten(config: Config, name: str) -> None:
    """Delete a model's checkpoints of before it was last forgotten.

    They hold positions in the topics, and windows of events that are to be no more; resuming from
    one would leave out all events up to there. Each host that has checkpoints finds out by itself,
    from a note among them. In a file system that only Flink can read nobody picks one by itself.

    Raises:
        ServiceError: the database is away, or the folder cannot be written.
    """
    path = _local(checkpoint_folder(config, name))
    if path is None:
        return
    with connect(config.local_postgres(), "read", autocommit=True) as connection:
        forgotten = str(times(connection, name))
    note = path / _FORGOTTEN
    known = note.read_text() if note.is_file() else "0"
    if known == forgotten:
        return
    if path.is_dir():
        log.warning("deleting the checkpoints of %s: all that it had stored was forgotten", name)
        shutil.rmtree(path)
    write_private(private_folder(path) / _FORGOTTEN, forgotten)


def newest(folder: str, *, before: int = 0, since: float = 0.0) -> str | None:
    """The newest complete checkpoint or savepoint below a folder, None when there is none.

    Each run has its own sub-folder; a checkpoint is complete when its `_metadata` is there.

    Parameters:
        folder: a `file:` URI or a path.
        before: how many of the newest to pass over.
        since: only those made after this time, in seconds since 1970.

    Raises:
        ConfigError: the folder is on a file system that only Flink can read.
    """
    path = _local(folder)
    if path is None:
        raise ConfigError(
            f"can't look for checkpoints in {folder!r}: name one with --restore, or --restore none"
        )
    found = ((_made(path), path) for path in path.rglob("_metadata"))
    complete = [path for made, path in sorted(found) if made > since]
    if len(complete) <= before:
        return None
    return complete[-1 - before].parent.resolve().as_uri()


def _local(folder: str) -> Path | None:
    """The path of a URI; None where only Flink can read it."""
    url = urlparse(folder)
    return Path(unquote(url.path)) if url.scheme in ("", "file") else None


def _made(path: Path) -> float:
    """When a file was made; long ago when a running job has just deleted it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return -1.0
