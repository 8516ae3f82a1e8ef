"""The MLflow server in one process.

`mlflow server` keeps a second process, as large as the server and as slow to import, only to wait
for it. Run as a script, so that the child needs nothing of driftline: STORE ARTIFACTS HOST PORT.
"""

import os
import sys
from pathlib import Path


def serve(store: str, artifacts: str, host: str, port: int) -> None:
    """Serve MLflow with login, artifacts included, until SIGTERM."""
    import uvicorn  # collecting doctests must not import MLflow
    from mlflow import environment_variables, server
    from mlflow.server import constants

    os.environ[constants.BACKEND_STORE_URI_ENV_VAR] = store
    os.environ[constants.ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
    os.environ[constants.ARTIFACTS_DESTINATION_ENV_VAR] = artifacts
    os.environ[constants.SERVE_ARTIFACTS_ENV_VAR] = "true"
    os.environ[environment_variables._MLFLOW_SGI_NAME.name] = "uvicorn"
    uvicorn.run(
        "mlflow.server.auth:create_app",
        factory=True,
        host=host,
        port=port,
        access_log=False,
        log_config=str(Path(server.__file__).with_name("uvicorn_log_config.yaml")),
    )


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
