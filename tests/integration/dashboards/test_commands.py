"""`driftline dashboards` as a person and as CI types it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from driftline import doctor as doctors
from driftline.cli.app import app
from driftline.dashboards.definitions.sections import score
from driftline.dashboards.panels.board import Panel
from driftline.dashboards.panels.scope import Scope
from driftline.errors import DriftlineError
from driftline.storage.connection import connect
from tests.integration.dashboards.conftest import TOKEN, Driver


@pytest.fixture
def file(driver: Driver, tmp_path: Path) -> Path:
    """The driver's config as a file, with another of the real generation."""
    content = json.loads(driver.config.model_dump_json(exclude_none=True))
    content["models"] = {
        name: {key: one for key, one in model.items() if key in ("input", "registry", "team")}
        for name, model in content["models"].items()
    }
    path = tmp_path / "driftline.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def run(file: Path, *words: str) -> Result:
    result = CliRunner().invoke(app, ["dashboards", *words, "--config", str(file)])
    if result.exception and not isinstance(result.exception, SystemExit | DriftlineError):
        raise result.exception
    return result


def test_plan_apply_plan_destroy(driver: Driver, file: Path) -> None:
    first = run(file, "plan")
    assert first.exit_code == 2
    assert "+ dashboard driftline-fleet: create " in first.output
    assert run(file, "diff").exit_code == 2
    applied = run(file, "apply")
    assert (applied.exit_code, " 0 failed" in applied.output) == (0, True)
    second = run(file, "plan")
    assert second.exit_code == 0, second.output
    assert "0 to create, 0 to change, 0 to delete" in second.output
    machine: dict[str, Any] = json.loads(run(file, "plan", "--json").output)
    assert not machine["differs"]
    assert machine["requests"] == 4 + 1 + 3 + 3
    assert run(file, "diff").output == ""
    assert run(file, "silences").output == "0 silences created, 0 ended\n"
    assert run(file, "destroy", "--yes").exit_code == 0
    assert driver.stand_in.store.dashboards == {}
    assert driver.stand_in.store.folders == {}


def test_the_generated_dashboards_keep_edits(driver: Driver, file: Path) -> None:
    run(file, "apply")
    page = driver.stand_in.store.dashboards["driftline-models"]
    page["content"]["panels"][1]["title"] = "My own title"
    page["version"] += 1
    seen = run(file, "plan")
    assert seen.exit_code == 0
    assert "edited in Grafana, kept: panels." in seen.output
    assert "'My own title'" in seen.output


def test_a_failure_is_said_and_exits_1(driver: Driver, file: Path) -> None:
    driver.stand_in.faults.only = "POST /api/folders"
    driver.stand_in.faults.answers = [400] * 3
    failed = run(file, "apply")
    assert failed.exit_code == 1
    assert "! folder driftline: can't create the folder 'driftline'" in failed.output
    driver.stand_in.store.tokens = {}
    refused = run(file, "plan")
    assert isinstance(refused.exception, DriftlineError)
    assert TOKEN not in str(refused.exception)


def test_what_was_applied_is_said_when_silences_fail(driver: Driver, file: Path) -> None:
    with connect(driver.config.postgres, "write", autocommit=True) as connection:
        connection.execute(
            "INSERT INTO driftline.silence (model, ends_at, created_by, reason)"
            " VALUES ('fraud', now() + interval '1 hour', 'mia', 'known')"
        )
    driver.stand_in.faults.only = "POST .*/silences"
    driver.stand_in.faults.answers = [400] * 3
    failed = run(file, "apply")
    assert failed.exit_code == 1
    assert "can't silence 'fraud'" in str(failed.exception)
    assert "+ dashboard driftline-fleet" in failed.output
    assert " done, 0 failed; " in failed.output
    with connect(driver.config.postgres, "write", autocommit=True) as connection:
        connection.execute("UPDATE driftline.silence SET ends_at = now()")
    assert run(file, "apply").exit_code == 0


def test_a_page_that_cannot_be_generated_stops_no_other(
    driver: Driver, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its dashboard stays; those of others, and what is new, arrive."""
    content = yaml.safe_load(file.read_text())
    for name in ("fraud", "churn"):
        content["models"][name]["dashboard"] = "own"
    file.write_text(yaml.safe_dump(content))
    assert run(file, "apply").exit_code == 0
    store = driver.stand_in.store
    before = dict(store.dashboards["driftline-model-fraud"])
    content["models"]["spend"]["dashboard"] = "own"
    content["models"]["churn"]["monitors"] = {"windows": ["1 d"]}
    content["models"]["fraud"]["monitors"] = {"windows": ["1 d"]}
    file.write_text(yaml.safe_dump(content))
    panels = score.panels

    def broken(scope: Scope) -> list[Panel]:
        if scope.name == "fraud":
            raise ValueError("no bins")
        return panels(scope)

    monkeypatch.setattr(score, "panels", broken)
    why = (
        "! dashboard driftline-model-fraud: can't generate the dashboard of model 'fraud': "
        "ValueError: no bins (test_commands.py, line "
    )
    for command, code in (("plan", 2), ("diff", 2), ("apply", 1), ("plan", 2)):
        said = run(file, command)
        assert (said.exit_code, why in said.output) == (code, True), said.output
    assert "0 to create, 0 to change, 0 to delete" in said.output
    assert "1 failed" in said.output
    assert store.dashboards["driftline-model-fraud"] == before
    assert "driftline-model-spend" in store.dashboards
    assert store.dashboards["driftline-model-churn"]["version"] > 1
    exported = run(file, "export", str(tmp_path / "out"))
    assert (exported.exit_code, why in exported.output) == (1, True)
    names = {path.stem for path in (tmp_path / "out" / "dashboards").rglob("*.json")}
    assert "driftline-model-churn" in names
    assert "driftline-model-fraud" not in names
    monkeypatch.setattr(score, "panels", panels)
    assert run(file, "apply").exit_code == 0
    assert store.dashboards["driftline-model-fraud"]["version"] > before["version"]
    assert run(file, "plan").exit_code == 0


def test_export_needs_no_grafana_and_no_secret(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK_SECRET")
    assert run(file, "export", str(tmp_path / "out")).exit_code == 0
    text = "".join(path.read_text() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert "authorization_credentials: $HOOK_SECRET" in text
    assert TOKEN not in text


class Doctor:
    """`driftline doctor` of Grafana alone."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self) -> tuple[int, dict[str, str]]:
        """The exit code, and what to do about each problem."""
        said = CliRunner().invoke(app, ["doctor", "--json", "--config", str(self._file)])
        found = json.loads(said.output)
        assert {one["check"] for one in found} == {"grafana"}
        return said.exit_code, {o["message"]: o["fix"] for o in found if o["level"] == "problem"}


@pytest.fixture
def doctor(file: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    monkeypatch.setattr("driftline.doctor.CHECKS", {"grafana": doctors.check_grafana})
    return Doctor(file)


def test_the_doctor_is_content_with_a_token_that_may_all(
    driver: Driver, file: Path, doctor: Doctor
) -> None:
    code, problems = doctor()
    assert (code, list(problems)) == (1, ["can't read the database through Grafana"])
    assert "run 'driftline dashboards apply'" in problems["can't read the database through Grafana"]
    run(file, "apply")
    assert doctor() == (0, {})


def test_the_doctor_says_which_right_is_missing(driver: Driver, file: Path, doctor: Doctor) -> None:
    run(file, "apply")
    driver.stand_in.store.tokens = {TOKEN: "Editor"}
    code, problems = doctor()
    assert (code, list(problems)) == (1, ["can't write data sources"])
    assert "Permissions needed: datasources:create" in problems["can't write data sources"]
    assert (
        "the role Admin, or create the data source manually" in problems["can't write data sources"]
    )
    driver.stand_in.store.tokens = {TOKEN: "Viewer"}
    code, problems = doctor()
    assert code == 1
    assert set(problems) == {
        *("can't write folders", "can't write dashboards", "can't write alert rules"),
        *("can't write contact points", "can't write mute timings", "can't silence alerts"),
        "can't write data sources",
    }
    assert "give the service account the role Editor" in problems["can't silence alerts"]


def test_the_doctor_says_that_the_token_is_over(driver: Driver, doctor: Doctor) -> None:
    driver.stand_in.store.expired = {TOKEN}
    code, problems = doctor()
    assert (code, list(problems)) == (1, ["can't use the token"])
    assert (
        "(Expired API key): create a new one and set grafana.token"
        in (problems["can't use the token"])
    )


def test_the_doctor_says_that_grafana_is_away(file: Path, doctor: Doctor) -> None:
    content = yaml.safe_load(file.read_text())
    content["grafana"]["url"] = "http://127.0.0.1:9"
    file.write_text(yaml.safe_dump(content))
    code, problems = doctor()
    assert (code, list(problems)) == (1, ["can't reach the server"])
    assert (
        "is unreachable: check that it runs, and grafana.url"
        in (problems["can't reach the server"])
    )
