"""How a worker that cannot start tells the supervisor why: starting it again would not help.

Flink alone would start it again and again, and keep the reason in the JVM's log.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.private_files import write_private
from driftline.storage.reconnect import TRANSIENT


@contextmanager
def told(config: Config, model: str) -> Iterator[None]:
    """Note what the block raises, unless it is a service that is away and will be back."""
    try:
        yield
    except TRANSIENT:
        raise
    except Exception as error:
        own = isinstance(error, DriftlineError)
        config.folder("run")
        text = str(error) if own else f"{type(error).__name__}: {error}"
        write_private(note(config, model), text)
        raise


def note(config: Config, model: str) -> Path:
    """Where the reason is; there is no such file while all is well."""
    return config.state / "run" / f"job-{model}.refusal"
