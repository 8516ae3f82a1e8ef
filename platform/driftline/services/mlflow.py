"""A real MLflow tracking and registry server, with login."""

import base64
import configparser
import io
import signal
import sys
import urllib.request
from pathlib import Path
from typing import Any

from driftline.private_files import private_folder, write_private
from driftline.services.cache import Say
from driftline.services.files import password, require_password
from driftline.services.ports import LOOPBACK
from driftline.services.process import Command
from driftline.services.service import Place

USER = "driftline"


class MLflow:
    """MLflow on SQLite, artifacts served through it, every request with a password."""

    name = "mlflow"
    section = "mlflow"
    port_names: tuple[str, ...] = ("mlflow",)
    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds = 120.0

    def prepare(self, place: Place, say: Say) -> None:  # nothing takes long
        """Write the login settings."""
        require_password(_password_file(place), place.folder / "auth.db")
        private_folder(place.folder)
        write_private(place.folder / "auth.ini", _auth_settings(place))

    def command(self, place: Place) -> Command:
        """The server, in one process: the local stack has one user."""
        argv = [
            sys.executable,
            "-P",  # the folder of the script holds a module named mlflow
            str(Path(__file__).with_name("mlflow_server.py")),
            f"sqlite:///{place.folder / 'mlflow.db'}",
            str(place.folder / "artifacts"),
            LOOPBACK,
            str(place.ports["mlflow"]),
        ]
        return Command(argv, cwd=place.folder, env=_environment(place))

    def ping(self, place: Place) -> str:
        """Search experiments with the password, then ask for the version."""
        _request(place, "/api/2.0/mlflow/experiments/search?max_results=1")
        return _request(place, "/version").decode()

    def settle(self, place: Place) -> None:
        """Nothing: experiments and models belong to their users."""

    def address(self, place: Place) -> dict[str, Any]:
        """Tracking URI and how to log in."""
        return {
            "tracking_uri": _uri(place),
            "username": USER,
            "password_file": str(_password_file(place)),
        }


def _uri(place: Place) -> str:
    return f"http://{LOOPBACK}:{place.ports['mlflow']}"


def _password_file(place: Place) -> Path:
    return place.secrets / "mlflow"


def _environment(place: Place) -> dict[str, str]:
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(place.folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": password(place.secrets / "mlflow_cookies"),
        # Its job queue would start further processes, for features that are not used here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _auth_settings(place: Place) -> str:
    settings = configparser.ConfigParser(interpolation=None)
    settings["mlflow"] = {
        "default_permission": "READ",
        "database_uri": f"sqlite:///{place.folder / 'auth.db'}",
        "admin_username": USER,
        "admin_password": password(_password_file(place)),
        # Checking a password takes longer than most requests.
        "auth_cache_ttl_seconds": "60",
    }
    text = io.StringIO()
    settings.write(text)
    return text.getvalue()


def _request(place: Place, path: str) -> bytes:
    credentials = f"{USER}:{password(_password_file(place))}"
    token = base64.b64encode(credentials.encode()).decode()
    request = urllib.request.Request(  # noqa: S310 # our own loopback address
        _uri(place) + path, headers={"Authorization": f"Basic {token}"}
    )
    with _OPENER.open(request, timeout=5) as answer:
        body: bytes = answer.read()
    return body


# A proxy from the environment is not for loopback.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
