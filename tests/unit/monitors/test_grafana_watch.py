"""Grafana tells people only while it evaluates driftline's rules."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from driftline import names
from driftline.config import Config
from driftline.grafana import Grafana
from driftline.settings import Secret
from monitors.alerts.grafana_watch import GrafanaWatch
from tests.rule_state import Answer, answering, rules


@pytest.fixture
def said() -> Iterator[Answer]:
    with answering() as answer:
        yield answer


def delivers(url: str, folder: Path) -> bool:
    token = folder / "token"
    token.write_text("t0ken")
    return GrafanaWatch(Config(grafana=Grafana(url=url, token=Secret(file=token)))).delivers()


def test_it_lives_has_stopped_or_is_away(said: Answer, tmp_path: Path) -> None:
    url = said.url
    said.content = rules(names.GRAFANA_HEARTBEAT, timedelta(seconds=30))
    assert delivers(url, tmp_path)
    assert said.asked == "/api/prometheus/grafana/api/v1/rules Bearer t0ken"
    said.content = rules(names.GRAFANA_HEARTBEAT, timedelta(minutes=30))
    assert not delivers(url, tmp_path)
    said.content = rules("another rule", timedelta(0))
    assert not delivers(url, tmp_path)
    said.content = {"message": "odd"}
    assert not delivers(url, tmp_path)
    said.status = 500
    assert not delivers(url, tmp_path)


def test_none_is_configured() -> None:
    assert not GrafanaWatch(Config()).delivers()
