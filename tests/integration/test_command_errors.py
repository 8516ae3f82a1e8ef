"""No command shows a secret where a service is broken, refuses it, or repeats what it was sent."""

import base64
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from driftline.cli.app import app
from driftline.errors import DriftlineError
from driftline.services import ports
from tests.loopback import serving

# They run until they are stopped, or need no service.
_OTHERS = ("preview", "demo", "monitor", "init", "config schema", "up", "down", "status", "logs")
_VALUES = {
    "model": "payments",
    "name": "payments",
    "event_id": "e-1",
    "incident": "1",
    "version": "1",
    "first": "1",
    "second": "2",
    "since": "2026-01-01",
    "until": "2026-01-02",
    "reason": "a test",
    "length": "1 h",
    "service": "kafka",
}
SECRETS = {
    name: f"planted-{name.lower()}-Qx7hunter2Zk"
    for name in ("MIGRATE", "WRITE", "READ", "KAFKA", "MLFLOW", "GRAFANA", "NOTIFY", "SERVING")
}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, list[Any]]]:
    """Every command with its required parameters."""
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))
    if not hasattr(command, "commands") and " ".join(path) not in _OTHERS:
        yield " ".join(path), [one for one in command.params if one.required]


COMMANDS = dict(commands(typer.main.get_command(app)))


class Echo(BaseHTTPRequestHandler):
    """A server that refuses, and repeats what it was sent: some proxies do."""

    def _refuse(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        login = self.headers.get("Authorization", "").partition(" ")[2]
        body = f"{login} {_decoded(login)} is refused, in {self.path} and {sent}".encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _refuse  # noqa: N815 - http.server's names


def _decoded(login: str) -> str:
    try:
        return base64.b64decode(login).decode()
    except ValueError:
        return ""


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with serving(Echo) as address:
        yield address


@pytest.fixture
def config(tmp_path: Path, echo: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All services are there in the config, and none works."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "")  # commands set it; it is restored then
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    roles = {
        role: {"user": f"driftline_{role}", "password": {"env": role.upper()}}
        for role in ("migrate", "write", "read")
    }
    content = {
        "state": str(tmp_path / "state"),
        "postgres": {"host": "127.0.0.1", "port": ports.choose(), "roles": roles},
        "kafka": {
            "bootstrap": f"127.0.0.1:{ports.choose()}",
            "security_protocol": "SASL_PLAINTEXT",
            "username": "driftline",
            "password": {"env": "KAFKA"},
        },
        "mlflow": {"tracking_uri": echo, "username": "u", "password": {"env": "MLFLOW"}},
        "grafana": {"url": echo, "token": {"env": "GRAFANA"}},
        "notify": {"urls": [{"env": "NOTIFY"}]},
        "models": {
            "payments": {
                "input": {
                    "topic": "payments",
                    "event_id": "id",
                    "event_time": "at",
                    "fields": {"amount": "float"},
                },
                "registry": {"name": "payments"},
            }
        },
    }
    path = tmp_path / "driftline.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def _as_main_shows(error: BaseException | None) -> str:
    """Our own errors as a message, all others with everything."""
    if error is None or isinstance(error, DriftlineError):
        return str(error or "")
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_errors_hold_no_secret(command: str, config: Path, tmp_path: Path) -> None:
    words = command.split()
    for parameter in COMMANDS[command]:
        value = _VALUES.get(parameter.name, str(tmp_path / parameter.name))
        words += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    words += ["--config", str(config)]
    result = CliRunner().invoke(app, words)
    shown = result.output + _as_main_shows(result.exception)
    assert shown
    encoded = [base64.b64encode(f"u:{value}".encode()).decode() for value in SECRETS.values()]
    assert [secret for secret in (*SECRETS.values(), *encoded) if secret in shown] == [], shown
