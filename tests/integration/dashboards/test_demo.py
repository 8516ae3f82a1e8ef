"""What the demo brings to a Grafana, when there is one."""

from pathlib import Path

import pytest

from driftline.config import load
from driftline.demo import in_grafana, settings
from tests.integration.dashboards.conftest import TOKEN, Driver


def test_the_demo_applies_everything(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "demo" / "driftline.yaml"
    monkeypatch.setenv("GRAFANA_URL", f"{driver.config.grafana.url}/")
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    settings.write(path, tmp_path, paced=False)
    demo = load(path).model_copy(update={"postgres": driver.config.postgres})
    said: list[str] = []
    there = in_grafana.bring(demo, said.append)
    assert (there, said) == (f"{driver.config.grafana.url}/d/driftline-fleet", [])
    assert "driftline-model-flights-late" in driver.stand_in.store.dashboards
    driver.stand_in.store.tokens = {}
    assert in_grafana.bring(demo, said.append) is None
    assert "rejected the token" in said[-1]
    monkeypatch.delenv("GRAFANA_URL")
    settings.write(path, tmp_path, paced=False)
    assert load(path).grafana.url is None
