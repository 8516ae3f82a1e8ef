"""Grafana notifies only while it evaluates driftline's rules."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from driftline import names
from driftline.config import Config
from driftline.config.grafana import Grafana
from driftline.config.monitors import Family, Severity
from driftline.config.types import Secret
from driftline.monitors.alerts.grafana_delivery import GrafanaDelivery
from driftline.storage.monitoring.incidents import Incident
from tests.rule_state import Answer, answering, rules


@pytest.fixture
def server() -> Iterator[Answer]:
    with answering() as answer:
        yield answer


def delivers(url: str, folder: Path) -> bool:
    token = folder / "token"
    token.write_text("t0ken")
    return GrafanaDelivery(Config(grafana=Grafana(url=url, token=Secret(file=token)))).delivers()


def test_it_lives_has_stopped_or_is_away(server: Answer, tmp_path: Path) -> None:
    url = server.url
    server.content = rules(names.GRAFANA_HEARTBEAT, timedelta(seconds=30))
    assert delivers(url, tmp_path)
    assert server.asked == "/api/prometheus/grafana/api/v1/rules Bearer t0ken"
    server.content = rules(names.GRAFANA_HEARTBEAT, timedelta(minutes=30))
    assert not delivers(url, tmp_path)
    server.content = rules("another rule", timedelta(0))
    assert not delivers(url, tmp_path)
    server.content = {"message": "odd"}
    assert not delivers(url, tmp_path)
    server.status = 500
    assert not delivers(url, tmp_path)


HOOK = {"type": "webhook", "settings": {"url": "https://hook.example"}}
SLACK = {"urls": [{"env": "SLACK"}]}


def beside_addresses(url: str, folder: Path, *routes: Mapping[str, object]) -> Config:
    """Addresses of `notify` and a Grafana; two models of two teams."""
    token = folder / "token"
    token.write_text("t0ken")
    fields = {"topic": "t", "event_id": "id", "event_time": "time", "fields": {"x": "float"}}
    model = {"input": fields, "registry": {"name": "m"}}
    grafana: dict[str, object] = {
        "url": url,
        "token": {"file": token},
        "contact_points": {"ops": HOOK},
    }
    grafana["routing"] = {"routes": [{"contact_point": "ops", **route} for route in routes]}
    models = {"fraud": {**model, "team": "payments"}, "churn": {**model, "team": "growth"}}
    return Config.model_validate({"grafana": grafana, "notify": SLACK, "models": models})


def incident(model: str, family: Family, severity: Severity) -> Incident:
    now = datetime.now(UTC)
    return Incident(
        id=1,
        model=model,
        family=family,
        version=None,
        severity=severity,
        opened_at=now,
        resolved_at=None,
        since=now,
        last=now,
        summary="",
        contributors=[],
        false_alarms_per_week=None,
        report_id=None,
        acknowledged_at=None,
        acknowledged_by=None,
        note="",
        resolution="",
    )


def test_a_grafana_for_dashboards_alone_takes_no_message(server: Answer, tmp_path: Path) -> None:
    server.content = rules(names.GRAFANA_HEARTBEAT, timedelta(0))
    watch = GrafanaDelivery(beside_addresses(server.url, tmp_path))
    assert not watch.delivers()
    assert not watch.delivers(incident("fraud", "drift", "page"))
    assert GrafanaDelivery(beside_addresses(server.url, tmp_path, {})).delivers()


def test_what_no_route_takes_is_told_by_driftline(server: Answer, tmp_path: Path) -> None:
    server.content = rules(names.GRAFANA_HEARTBEAT, timedelta(0))
    routes = {"severities": ["page"]}, {"teams": ["growth"], "families": ["drift"]}
    watch = GrafanaDelivery(beside_addresses(server.url, tmp_path, *routes))
    assert watch.delivers()
    assert watch.delivers(incident("fraud", "quality", "page"))
    assert not watch.delivers(incident("fraud", "drift", "ticket"))
    assert watch.delivers(incident("churn", "drift", "ticket"))
    assert not watch.delivers(incident("churn", "quality", "ticket"))
    assert not watch.delivers(incident("gone from the config", "quality", "page"))


def test_none_is_configured() -> None:
    assert not GrafanaDelivery(Config()).delivers()
