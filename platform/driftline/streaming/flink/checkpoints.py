"""Finds a job's checkpoints, and chooses the one to start from."""

import logging
import os
import shutil
from pathlib import Path
from urllib.parse import unquote, urlparse

from driftline.config import Config
from driftline.errors import ConfigError
from driftline.private_files import private_folder, write_private
from driftline.storage.connection import connect
from driftline.storage.forget import forget_count

_FORGOTTEN = "forgotten"  # file with the number of `forget` calls before these checkpoints

log = logging.getLogger(__name__)


def checkpoint_folder(config: Config, name: str) -> str:
    """The folder of a model's checkpoints, as a URI."""
    if config.flink.checkpoint_dir is not None:
        return f"{config.flink.checkpoint_dir.rstrip('/')}/{name}"
    return (config.state / "checkpoints" / name).resolve().as_uri()


def discard_forgotten(config: Config, name: str) -> None:
    """Delete a model's checkpoints from before it was last forgotten.

    They hold positions in the topics, and windows of events that were to be deleted; resuming from
    one would skip all events up to its position. Each host with checkpoints detects this by a file
    among them. Checkpoints that only Flink can read are never chosen automatically.

    Raises:
        ServiceError: the database is unavailable, or the folder cannot be written.
    """
    path = _local(checkpoint_folder(config, name))
    if path is None:
        return
    with connect(config.local_postgres(), "read", autocommit=True) as connection:
        forgotten = str(forget_count(connection, name))
    count_file = path / _FORGOTTEN
    recorded = count_file.read_text() if count_file.is_file() else "0"
    if recorded == forgotten:
        return
    if path.is_dir():
        log.warning("deleting the checkpoints of %s: its stored data was forgotten", name)
        shutil.rmtree(path)
    write_private(private_folder(path) / _FORGOTTEN, forgotten)


def newest(folder: str, *, skip: int = 0, since: float = 0.0) -> str | None:
    """The newest complete checkpoint or savepoint below a folder, or None.

    Each run has its own subfolder; a checkpoint is complete when its `_metadata` exists.

    Parameters:
        folder: a `file:` URI or a path.
        skip: number of newest checkpoints to skip.
        since: ignore those created before this time, in seconds since 1970.

    Raises:
        ConfigError: the folder is on a file system that only Flink can read.
    """
    path = _local(folder)
    if path is None:
        raise ConfigError(
            f"can't list checkpoints in {folder!r}: name one with --restore, or use --restore none"
        )
    # os.walk skips folders that a running job deletes meanwhile; Path.rglob raises an error
    folders = (Path(name) for name, _, files in os.walk(path) if "_metadata" in files)
    checkpoints = ((_created(path / "_metadata"), path) for path in folders)
    complete = [path for created, path in sorted(checkpoints) if created > since]
    if len(complete) <= skip:
        return None
    return complete[-1 - skip].resolve().as_uri()


def _local(folder: str) -> Path | None:
    """The path of a URI, None if only Flink can read it."""
    url = urlparse(folder)
    return Path(unquote(url.path)) if url.scheme in ("", "file") else None


def _created(path: Path) -> float:
    """When a file was created; -1 if a running job has just deleted it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return -1.0
