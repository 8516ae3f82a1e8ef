"""Generated dashboards: what never changes, and golden files of what does.

`DRIFTLINE_GOLDEN=write` writes the golden files anew.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from driftline import names
from driftline.cli.app import app
from driftline.config import Config, Model
from driftline.dashboards.definitions.generate import DashboardError, generate, generate_each
from driftline.dashboards.panels.board import panel_id
from driftline.dashboards.preview.server import Preview
from tests import monitored
from tests.unit.dashboards import grafana_draws

GOLDEN = Path(__file__).parents[3] / "data" / "dashboards"
BOARDS = generate(monitored.config(Config()))
# What the recorded server expanded: tests/data/grafana/11_ds_query.json.
MACROS = {"$__timeFilter", "$__timeGroup", "$__timeFrom", "$__timeTo", "$__interval"}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


ALL = [pytest.param(b, p, id=f"{b['uid']}/{p['title']}") for b in BOARDS for p in panels(b)]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_golden(board: dict[str, Any]) -> None:
    path = GOLDEN / f"{board['uid']}.json"
    text = json.dumps(board, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("DRIFTLINE_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def test_one_of_each_and_those_of_models_that_ask() -> None:
    assert [board["uid"] for board in BOARDS] == [
        names.FLEET_UID,
        names.MODELS_UID,
        names.PIPELINE_UID,
        names.dashboard_uid(monitored.FRAUD),
    ]
    shared = ["driftline"]
    assert [board["tags"] for board in BOARDS] == [shared] * 3 + [[*shared, "team:driftline"]]


def test_without_models() -> None:
    assert len(generate(Config())) == 3


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_ids_are_unique(board: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_panels_do_not_overlap_and_leave_no_hole(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        xs, ys = range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])
        cells = {(x, y) for x in xs for y in ys}
        assert max(xs) < 24
        assert not cells & taken
        taken |= cells
    assert len(taken) == 24 * (max(y for _, y in taken) + 1)


@pytest.mark.parametrize(("board", "panel"), ALL)
def test_a_real_grafana_draws_it_as_it_is_meant(
    board: dict[str, Any], panel: dict[str, Any]
) -> None:
    del board
    assert grafana_draws.faults(panel) == []


@pytest.mark.parametrize(("board", "panel"), ALL)
def test_every_panel_explains_itself(board: dict[str, Any], panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["noValue"]
    assert panel["targets"]


@pytest.mark.parametrize(("board", "panel"), ALL)
def test_queries_are_what_grafana_can_expand(board: dict[str, Any], panel: dict[str, Any]) -> None:
    known = {variable["name"] for variable in board["templating"]["list"]}
    for target in panel["targets"]:
        sql = target["rawSql"]
        assert set(re.findall(r"\$__\w+", sql)) <= MACROS
        assert set(re.findall(r"\$\{(\w+)", sql)) <= known
        assert not re.search(r"\$\{\w+\}|\$[a-z]", sql)  # every variable is quoted
        for arguments in re.findall(r"\$__time\w+\(([^)]*)\)", sql):
            assert "(" not in arguments


def test_ids_come_from_names_alone() -> None:
    assert panel_id("traffic") == panel_id("traffic") != panel_id("Traffic")
    one, more = BOARDS, generate(_many(3))
    assert {p["id"] for p in panels(one[0])} == {p["id"] for p in panels(more[0])}


def _many(n: int) -> Config:
    own = {**monitored.section(), "dashboard": "own"}
    return Config(models={f"model-{i}": Model.model_validate(own) for i in range(n)})


def test_a_dashboard_for_each_of_many_models() -> None:
    boards = generate(_many(500))
    assert len({board["uid"] for board in boards}) == 503
    assert all(len(board["uid"]) <= 40 for board in boards)


def test_reads_the_data_source_of_the_config() -> None:
    config = Config.model_validate({"grafana": {"data_source": {"uid": "pg-1"}}})
    text = json.dumps(generate(config))
    assert names.DATASOURCE_UID not in text
    assert '"uid": "pg-1"' in text


@pytest.mark.parametrize("preview", ["https://reports.example/driftline", "https://p.example/"])
def test_links_to_reports_lead_to_the_preview_of_the_config(preview: str) -> None:
    config = Config.model_validate({"grafana": {"preview_url": preview}})
    text = json.dumps(generate(config))
    assert f'"{preview.rstrip("/")}/reports/${{__value.raw}}"' in text
    assert "127.0.0.1" not in text


def test_a_page_that_cannot_be_made_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """Here of a model without windows, which no config file can have."""
    config = monitored.config(Config.model_validate({"postgres": {"host": "db.example"}}))
    fraud = config.models[monitored.FRAUD]
    broken = fraud.model_copy(
        update={"monitors": fraud.monitors.model_copy(update={"windows": ()})}
    )
    config = config.model_copy(update={"models": {**config.models, monitored.FRAUD: broken}})
    (failed,) = [one for one in generate_each(config) if isinstance(one, DashboardError)]
    assert failed.uid == names.dashboard_uid(monitored.FRAUD)
    assert "can't generate the dashboard of model 'fraud': IndexError: " in str(failed)
    with pytest.raises(DashboardError, match="model 'fraud'"):
        generate(config)
    assert list(Preview(config).dashboards) == [
        names.FLEET_UID,
        names.MODELS_UID,
        names.PIPELINE_UID,
    ]
    assert caplog.messages == [str(failed)]


def test_long_names_have_their_own_uids() -> None:
    first, second = ("a" * 39 + end for end in "xy")
    assert names.dashboard_uid(first) != names.dashboard_uid(second)


def test_the_command_exports_the_golden_files(tmp_path: Path) -> None:
    section = monitored.section()
    models = {
        monitored.FRAUD: {**section, "dashboard": "own"},
        monitored.CHURN: {**section, "registry": {"name": monitored.CHURN}},
    }
    settings = tmp_path / "driftline.yaml"
    settings.write_text(yaml.safe_dump({"postgres": {"host": "db.example"}, "models": models}))
    wanted = ["dashboards", "export", str(tmp_path / "out"), "--config", str(settings)]
    assert CliRunner().invoke(app, wanted).exit_code == 0
    for path in GOLDEN.glob("*.json"):
        (exported,) = (tmp_path / "out").rglob(path.name)
        assert json.loads(exported.read_text()) == json.loads(path.read_text())
