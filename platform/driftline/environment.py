"""The environment for programs that may expose it, for example in their logs."""

import re
from collections.abc import Collection, Mapping

# Variables that programs need to start, or before they can read the private file; no secrets.
_BASIC = frozenset(
    [
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "GLIBC_TUNABLES", "KRB5_CONFIG", "VIRTUAL_ENV"),
        *("JAVA_HOME", "JDK_JAVA_OPTIONS"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("DRIFTLINE_CACHE_DIR", "DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY"),
        "_python_worker_execution_mode",
    ]
)
_BASIC_PREFIXES = (
    *("LC_", "XDG_", "PYTHON", "FLINK_", "HADOOP_"),
    *("ARROW_", "CUDA_", "MALLOC_", "MKL_", "NUMEXPR_", "OMP_", "OPENBLAS_", "TF_"),
)
_SECRET = re.compile("cred|key|pass|secret|token", re.IGNORECASE)


def without_secrets(environment: Mapping[str, str], more: Collection[str] = ()) -> dict[str, str]:
    """An environment with only the variables that programs need; any other could be a secret.

    Parameters:
        environment: the complete environment.
        more: names of further variables to keep.

    >>> without_secrets({"PATH": "/bin", "PG_PASSWORD": "s"})
    {'PATH': '/bin'}
    """
    return {
        name: value
        for name, value in environment.items()
        if name in _BASIC
        or name in more
        or (name.startswith(_BASIC_PREFIXES) and not _SECRET.search(name))
    }
