"""What a config sends in plain text is reported by `config check` and by `doctor`."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from driftline import doctor
from driftline.cli.app import app
from driftline.config import Config
from driftline.config.transport import exposed, is_loopback

INPUT = {"topic": "t", "event_id": "id", "event_time": "time", "fields": {"x": "float"}}
TOKEN = {"env": "TOKEN"}


def served(url: str, headers: dict[str, Any]) -> dict[str, Any]:
    serving = {"url": url, "headers": headers}
    return {"models": {"m": {"input": INPUT, "registry": {"name": "m", "serving": serving}}}}


def hook(**settings: Any) -> dict[str, Any]:
    return {"grafana": {"contact_points": {"a": {"type": "webhook", "settings": settings}}}}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    monkeypatch.setenv("PLAIN", "http://user:hunter2@switch.example/x")
    monkeypatch.setenv("SAFE", "https://user:hunter2@switch.example/x")
    monkeypatch.setenv("JSON", "json://user:hunter2@hook.example")
    monkeypatch.setenv("JSONS", "jsons://user:hunter2@hook.example")
    monkeypatch.setenv("HERE", "json://user:hunter2@127.0.0.1:80")
    monkeypatch.setenv("SLACK", "slack://hunter2aaa/hunter2bb/hunter2cccccccccccccccccc")
    monkeypatch.delenv("UNSET", raising=False)


@pytest.mark.parametrize(
    ("sections", "problem", "fix"),
    [
        (
            {"postgres": {"host": "db.example"}},
            "postgres.sslmode 'prefer' may send data and credentials to 'db.example' in plain",
            "set postgres.sslmode: verify-full, and postgres.sslrootcert to its authority's PEM",
        ),
        (
            {"postgres": {"host": "127.0.0.1,db.example", "sslmode": "require"}},
            "postgres.sslmode 'require' does not verify the identity of 'db.example'",
            "set postgres.sslmode: verify-full",
        ),
        (
            {
                "postgres": {"host": "db.example", "sslmode": "verify-full"},
                "grafana": {
                    "url": "https://g.example",
                    "token": TOKEN,
                    "data_source": {"sslmode": "disable"},
                },
            },
            "grafana.data_source.sslmode 'disable' may send data and credentials to 'db.example'",
            "set grafana.data_source.sslmode: verify-full, and grafana.data_source.ca_file",
        ),
        (
            {"kafka": {"bootstrap": "127.0.0.1:1,b.example:9092"}},
            "kafka.security_protocol 'PLAINTEXT' sends events to 'b.example' in plain text",
            "set kafka.security_protocol: SSL, and kafka.ca_file",
        ),
        (
            {"kafka": {"bootstrap": "b:9092", "security_protocol": "SASL_PLAINTEXT"}},
            "kafka.security_protocol 'SASL_PLAINTEXT' sends events and credentials to 'b'",
            "set kafka.security_protocol: SASL_SSL, and kafka.ca_file",
        ),
        (
            {"mlflow": {"tracking_uri": "http://ml.example:5000", "username": "me"}},
            "mlflow.tracking_uri sends credentials to 'ml.example' in plain text",
            "use https:// in mlflow.tracking_uri",
        ),
        (
            {"grafana": {"url": "http://10.0.0.1:3000", "token": TOKEN}},
            "grafana.url sends the token to '10.0.0.1' in plain text",
            "use https:// in grafana.url",
        ),
        (
            hook(url="http://hook.example/x", password=TOKEN),
            "grafana.contact_points.a.settings.url sends secrets to 'hook.example' in plain text",
            "use https:// in grafana.contact_points.a.settings.url",
        ),
        (
            served("http://tf.example:8501", {"Authorization": TOKEN}),
            "models.m.registry.serving.url sends secret headers to 'tf.example'",
            "use https:// in models.m.registry.serving.url",
        ),
        (
            {"runner": {"heartbeat_url": {"env": "PLAIN"}}},
            "runner.heartbeat_url sends its secret address in plain text",
            "use https:// in runner.heartbeat_url",
        ),
        (
            {"notify": {"urls": [{"env": "SLACK"}, {"env": "JSON"}]}},
            "URL 2 of notify.urls sends messages and credentials in plain text",
            "use the service's TLS scheme, such as jsons:// for json://",
        ),
    ],
)
def test_what_is_sent_in_plain_text_is_reported(
    sections: dict[str, Any], problem: str, fix: str, tmp_path: Path
) -> None:
    config = Config.model_validate(sections)
    [finding] = doctor.check_transport(config)
    assert finding.level == "note"
    assert finding.message.startswith(problem)
    assert finding.fix.startswith(fix)
    path = tmp_path / "driftline.yaml"
    path.write_text(yaml.safe_dump(sections))
    done = CliRunner().invoke(app, ["config", "check", "--config", str(path)])
    assert done.exit_code == 0
    assert f"warning: {finding.message}: {finding.fix}\n" == done.stderr
    assert "warning" not in done.stdout
    done = CliRunner().invoke(app, ["config", "check", "--config", str(path), "--json"])
    assert json.loads(done.stdout)["warnings"] == [f"{finding.message}: {finding.fix}"]
    assert "hunter2" not in done.output


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"postgres": {"host": "/var/run/postgresql"}},
        {"postgres": {"host": "localhost"}, "kafka": {"bootstrap": "[::1]:9092,127.0.0.2:1"}},
        {"postgres": {"host": "db.example", "sslmode": "verify-full"}},
        {"postgres": {"host": "db.example", "sslmode": "verify-ca"}},
        {"kafka": {"bootstrap": "b:9093", "security_protocol": "SSL"}},
        {"mlflow": {"tracking_uri": "http://ml.example:5000"}},
        {"mlflow": {"tracking_uri": "https://ml.example", "token": TOKEN}},
        {"grafana": {"url": "http://127.0.0.1:3000", "token": TOKEN}},
        hook(url="http://hook.example/x"),
        hook(url="https://hook.example/x", password=TOKEN),
        served("http://tf.example:8501", {"X-Trace": "on"}),
        {"runner": {"heartbeat_url": {"env": "SAFE"}}},
        {"notify": {"urls": [{"env": name} for name in ("JSONS", "HERE", "SLACK", "UNSET")]}},
    ],
)
def test_what_is_safe_is_not_warned_of(sections: dict[str, Any]) -> None:
    config = Config.model_validate(sections)
    assert exposed(config) == []
    [finding] = doctor.check_transport(config)
    assert finding.level == "ok"


@pytest.mark.parametrize("host", ["db", "10.0.0.1", "localhost.example", "::2", ""])
def test_other_hosts(host: str) -> None:
    assert not is_loopback(host)
