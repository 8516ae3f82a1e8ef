"""The connection to MLflow."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from driftline.config import Mlflow
from driftline.errors import RegistryError, ServiceError
from driftline.tls_errors import tls_problem

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: MLflow's error codes for a name, version or alias that does not exist.
NOT_FOUND = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})
#: Its error codes for failures of the server itself; None: there was no response.
_UNAVAILABLE = frozenset({None, "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE"})

_TIMEOUT = "10"  # seconds a request
_RETRIES = "2"


def connect(settings: Mlflow) -> "MlflowClient":
    """A client of the registry, after one successful request.

    MLflow reads credentials and timeouts only from the environment, so this sets them for the
    process.

    Parameters:
        settings: with an address, see `Config.local_mlflow`.

    Raises:
        ConfigError: the password or token cannot be read.
        RegistryError: the registry rejects the credentials.
        ServiceError: the registry is unavailable.
    """
    _set_environment(settings)
    import mlflow

    client = mlflow.MlflowClient(settings.tracking_uri, registry_uri=settings.tracking_uri)
    with translate_errors(f"can't use MLflow at {settings.tracking_uri!r}"):
        client.search_registered_models(max_results=1)
    return client


@contextmanager
def translate_errors(failure: str) -> Iterator[None]:
    """Turn MLflow's exceptions into errors that start with `failure`.

    Raises:
        ServiceError: the registry does not respond, or fails itself.
        RegistryError: the registry rejects the request.
    """
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    try:
        yield
    except (MlflowException, RequestException) as error:
        if (problem := tls_problem(error, "mlflow.ca_file")) is not None:
            raise ServiceError(f"{failure}: {problem}") from error
        # a response body that comes from a proxy instead of MLflow could repeat the credentials
        reason = str(error).partition(" Response body")[0].splitlines()[0]
        code = getattr(error, "error_code", None)
        hint = (
            "driftline models list shows what exists"
            if code in NOT_FOUND
            else "driftline status shows whether MLflow runs"
        )
        kind = ServiceError if code in _UNAVAILABLE else RegistryError
        raise kind(f"{failure}: {reason} ({hint})") from error


def _set_environment(settings: Mlflow) -> None:
    values = {
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "MLFLOW_TRACKING_USERNAME": settings.username,
        "MLFLOW_TRACKING_PASSWORD": settings.password.read() if settings.password else None,
        "MLFLOW_TRACKING_TOKEN": settings.token.read() if settings.token else None,
        "MLFLOW_TRACKING_SERVER_CERT_PATH": str(settings.ca_file) if settings.ca_file else None,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": _TIMEOUT,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": _RETRIES,
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
