"""What the environment of a job's JVM holds, and how the rest of it reaches the Python workers.

Flink and Beam write the environment of Python workers to their logs. So the JVM, whose environment
they inherit, is started without secrets; the workers read everything else from a private file.
"""

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from driftline.private_files import write_private

_FILE = "DRIFTLINE_ENVIRONMENT_FILE"

# What programs need to start at all, or read before the file can be: no secret is expected there.
_BASIC = frozenset(
    [
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("LD_LIBRARY_PATH", "VIRTUAL_ENV", "JAVA_HOME", "JDK_JAVA_OPTIONS"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("DRIFTLINE_CACHE_DIR", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY"),
        "_python_worker_execution_mode",
    ]
)
_BASIC_PREFIXES = (
    *("LC_", "XDG_", "PYTHON", "FLINK_", "HADOOP_"),
    *("CUDA_", "MALLOC_", "MKL_", "NUMEXPR_", "OMP_", "OPENBLAS_", "TF_"),
)


def without_secrets(environment: Mapping[str, str], more: Collection[str] = ()) -> dict[str, str]:
    """The part of an environment that a JVM may see, and so its logs.

    Parameters:
        environment: all of it.
        more: further variables that the JVM needs, `flink.environment` of the config.

    >>> without_secrets({"PATH": "/bin", "PG_PASSWORD": "s"})
    {'PATH': '/bin'}
    """
    return {
        name: value
        for name, value in environment.items()
        if name in _BASIC or name in more or name.startswith(_BASIC_PREFIXES)
    }


def keep_for_workers(folder: Path) -> dict[str, str]:
    """Write this process's environment to a private file.

    Parameters:
        folder: where; it must be private itself.

    Returns:
        The variable by which `take_over` finds the file.
    """
    path = folder / "environment.json"
    write_private(path, json.dumps(dict(os.environ)))
    return {_FILE: str(path)}


def take_over() -> None:
    """Complete a worker's environment from the file; without one, as on a cluster, do nothing."""
    path = os.environ.get(_FILE)
    if path is not None:
        kept: dict[str, str] = json.loads(Path(path).read_text())
        os.environ.update({name: kept[name] for name in kept.keys() - os.environ.keys()})
