"""The registry's settings, and the error when it does not answer."""

import os
import socket
from pathlib import Path

import pytest

from driftline.config import Mlflow
from driftline.config.types import Secret
from driftline.errors import ServiceError
from driftline.registry import client


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", os.environ.copy())


def test_nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_RETRIES", "0")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServiceError, match=f"can't use MLflow at '{address}': .*driftline status"):
        client.connect(Mlflow(tracking_uri=address))


def test_the_login_is_set_for_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "password"
    secret.write_text("hunter2\n")
    settings = Mlflow(
        tracking_uri="https://mlflow.example", username="me", password=Secret(file=secret)
    )
    client._set_environment(settings)
    assert os.environ["MLFLOW_TRACKING_PASSWORD"] == "hunter2"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    client._set_environment(Mlflow(tracking_uri="https://mlflow.example"))
    assert "MLFLOW_TRACKING_PASSWORD" not in os.environ
