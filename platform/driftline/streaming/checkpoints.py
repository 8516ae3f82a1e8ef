"""Where a job's checkpoints are, and which of them it starts from."""

from pathlib import Path
from urllib.parse import unquote, urlparse

from driftline.config import Config
from driftline.errors import ConfigError


def checkpoint_folder(config: Config, name: str) -> str:
    """Where a model's checkpoints are, as a URI."""
    if config.flink.checkpoint_dir is not None:
        return f"{config.flink.checkpoint_dir.rstrip('/')}/{name}"
    return (config.state / "checkpoints" / name).resolve().as_uri()


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
    url = urlparse(folder)
    if url.scheme not in ("", "file"):
        raise ConfigError(
            f"can't look for checkpoints in {folder!r}: name one with --restore, or --restore none"
        )
    found = ((_made(path), path) for path in Path(unquote(url.path)).rglob("_metadata"))
    complete = [path for made, path in sorted(found) if made > since]
    if len(complete) <= before:
        return None
    return complete[-1 - before].parent.resolve().as_uri()


def _made(path: Path) -> float:
    """When a file was made; long ago when a running job has just deleted it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return -1.0
