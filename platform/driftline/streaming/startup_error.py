"""Passes the error of a worker that cannot start to the supervisor: a restart would not help.

Flink alone would restart the worker again and again, with the reason only in the JVM's log.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.private_files import write_private
from driftline.storage.reconnect import TRANSIENT


@contextmanager
def recorded_startup_error(config: Config, model: str) -> Iterator[None]:
    """Write the block's error to a file, unless a service is only temporarily unavailable."""
    try:
        yield
    except TRANSIENT:
        raise
    except Exception as error:
        own = isinstance(error, DriftlineError)
        config.folder("run")
        text = str(error) if own else f"{type(error).__name__}: {error}"
        write_private(error_file(config, model), text)
        raise


def error_file(config: Config, model: str) -> Path:
    """The file with the error; it exists only after a failed start."""
    return config.state / "run" / f"job-{model}.startup-error"
