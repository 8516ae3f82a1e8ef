"""Provisioning files of a second time: nothing stays that is written no more, or was others'."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from driftline.cli.app import app
from driftline.config import Config
from driftline.dashboards.definitions.generate import DashboardError, generate
from driftline.dashboards.sync.desired import desired_objects
from driftline.dashboards.sync.export import Exported, export
from driftline.errors import ConfigError

_PAGE = "dashboards/driftline-team-{team}/driftline-model-fraud.json"
_RULES = 14  # of a team


def config(teams: dict[str, str], **grafana: Any) -> Config:
    """Models with a page of their own, by team."""
    source = {"topic": "t", "event_id": "id", "event_time": "time", "fields": {"amount": "float"}}
    models = {
        name: {"input": source, "registry": {"name": name}, "team": team, "dashboard": "own"}
        for name, team in teams.items()
    }
    postgres = {"host": "db.example.com"}
    return Config.model_validate({"postgres": postgres, "models": models, "grafana": grafana})


FRAUD = config({"fraud": "payments"})


def exported(config: Config, folder: Path, failed: str = "") -> Exported:
    """With the page of one uid that could not be generated."""
    error = DashboardError(failed, "a model", _raised())
    pages = [error if page["uid"] == failed else page for page in generate(config)]
    return export(config, desired_objects(config, pages, (11, 0), secrets=False), folder)


def _raised() -> Exception:
    try:
        raise ValueError
    except ValueError as error:
        return error


def content(folder: Path, name: str) -> Any:
    return yaml.safe_load((folder / name).read_text())


def test_a_page_that_moves_to_another_team_is_there_once(tmp_path: Path) -> None:
    """In two folders, Grafana would stop to update from both."""
    exported(FRAUD, tmp_path)
    old, new = (tmp_path / _PAGE.format(team=team) for team in ("payments", "risk"))
    assert old.exists()
    written, removed = exported(config({"fraud": "risk"}), tmp_path)
    assert removed == [old]
    assert new in written
    assert list(tmp_path.rglob("driftline-model-fraud.json")) == [new]


def test_the_file_of_a_page_that_fails_stays(tmp_path: Path) -> None:
    """And with it the provider of its folder, else Grafana would delete the page."""
    exported(FRAUD, tmp_path)
    _, removed = exported(FRAUD, tmp_path, failed="driftline-model-fraud")
    assert removed == []
    assert (tmp_path / _PAGE.format(team="payments")).exists()
    providers = content(tmp_path, "dashboards/driftline.yaml")["providers"]
    assert "driftline-team-payments" in [one["name"] for one in providers]


def test_a_file_without_content_is_removed(tmp_path: Path) -> None:
    hook = {"type": "webhook", "settings": {"url": "https://hook.example"}}
    weekend = {"weekend": [{"weekdays": ["saturday"]}]}
    full = config({"fraud": "payments"}, contact_points={"ops": hook}, mute_timings=weekend)
    exported(full, tmp_path)
    _, removed = exported(config({"fraud": "payments"}, data_source={"manage": False}), tmp_path)
    names = ("datasources/driftline", "alerting/contact-points", "alerting/mute-timings")
    assert removed == [tmp_path / f"{name}.yaml" for name in names]
    assert not [path for path in removed if path.exists()]


def test_files_of_others_stay(tmp_path: Path) -> None:
    page = {"uid": "driftline-model-mine", "tags": ["mine"]}
    theirs = {
        "alerting/contact-points.yaml": "contactPoints: []\n",
        "alerting/theirs.yaml": "apiVersion: 1\n",
        "dashboards/driftline/notes.json": json.dumps({**page, "tags": ["driftline"]}),
        "dashboards/driftline/driftline-model-mine.json": json.dumps(page),
        "dashboards/driftline/driftline-model-broken.json": "{",
        "dashboards/theirs/driftline-model-fraud.json": json.dumps({**page, "tags": ["driftline"]}),
    }
    for name, text in theirs.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for _ in range(2):
        assert exported(FRAUD, tmp_path).removed == []
    assert {name: (tmp_path / name).read_text() for name in theirs} == theirs


def test_rules_that_are_gone_are_deleted(tmp_path: Path) -> None:
    """Grafana keeps a rule that its file names no more."""
    both = config({"fraud": "payments", "churn": "growth"})
    exported(both, tmp_path)
    assert "deleteRules" not in content(tmp_path, "alerting/rules.yaml")
    for _ in range(2):  # the second time, they stood there to be deleted
        exported(FRAUD, tmp_path)
        deleted = content(tmp_path, "alerting/rules.yaml")["deleteRules"]
        assert len(deleted) == _RULES
        assert {"orgId": 1, "uid": "driftline-drift-page-growth"} in deleted
    exported(both, tmp_path)
    assert "deleteRules" not in content(tmp_path, "alerting/rules.yaml")


def test_rules_that_cannot_be_read_are_not_overwritten(tmp_path: Path) -> None:
    """What is gone would not be known any more."""
    exported(FRAUD, tmp_path)
    path = tmp_path / "alerting" / "rules.yaml"
    path.write_text(f"{path.read_text()}<<<<<<< HEAD\n")
    before = path.read_text()
    with pytest.raises(ConfigError, match=r"rules\.yaml': restore or delete it: "):
        exported(FRAUD, tmp_path)
    assert path.read_text() == before


def test_rules_and_pages_meet_in_one_folder(tmp_path: Path) -> None:
    """Rules' files name a folder by its title alone, and split it at slashes."""
    exported(FRAUD, tmp_path)
    providers = content(tmp_path, "dashboards/driftline.yaml")["providers"]
    groups = content(tmp_path, "alerting/rules.yaml")["groups"]
    titles = {one["folder"] for one in providers}
    assert titles == {one["folder"] for one in groups} == {"driftline", "driftline payments"}
    assert not [one for one in providers if "folderUid" in one]
    with pytest.raises(ConfigError, match=r"grafana\.folder 'ML / driftline' has a slash"):
        exported(config({"fraud": "payments"}, folder="ML / driftline"), tmp_path)


def exported_by_command(config: Config, folder: Path, *options: str) -> Result:
    """Into `out`."""
    settings = folder / "driftline.yaml"
    settings.write_text(
        config.model_dump_json(
            include={
                "models": True,
                "postgres": {"host": True},
                "grafana": {"contact_points": True, "routing": True},
            },
            exclude_none=True,
        )
    )
    words = ["dashboards", "export", str(folder / "out"), "--config", str(settings)]
    return CliRunner().invoke(app, [*words, *options])


@pytest.mark.parametrize(
    ("options", "state"),
    [(["--grafana", "10.4"], "Error"), (["--grafana", "12.1.0"], "KeepLast"), ([], "KeepLast")],
)
def test_files_are_for_a_version(tmp_path: Path, options: list[str], state: str) -> None:
    done = exported_by_command(FRAUD, tmp_path, *options)
    assert done.exit_code == 0, done.output
    groups = content(tmp_path / "out", "alerting/rules.yaml")["groups"]
    states = {rule["execErrState"] for group in groups for rule in group["rules"]}
    assert states == {"Alerting", state}  # the first is the heartbeat's


@pytest.mark.parametrize("version", ["10.2", "9.5.1", "13.0", "new", "11abc"])
def test_a_version_that_is_not_supported_is_refused(tmp_path: Path, version: str) -> None:
    refused = exported_by_command(FRAUD, tmp_path, "--grafana", version)
    assert str(refused.exception) == f"unsupported version of Grafana {version!r}: use 10.3 to 12"
    assert not (tmp_path / "out").exists()


def test_a_version_that_cannot_route_by_rules_is_refused(tmp_path: Path) -> None:
    """As `apply` refuses it."""
    hook = {"type": "webhook", "settings": {"url": "https://hook.example"}}
    routing = {"routes": [{"contact_point": "ops"}]}
    routed = config({"fraud": "payments"}, contact_points={"ops": hook}, routing=routing)
    refused = exported_by_command(routed, tmp_path, "--grafana", "10.4")
    assert "set grafana.routing.mode: policies" in str(refused.exception)


# Where Grafana 12.2 takes a text of the rules' file as it stands; everywhere else it fills in
# variables, and `$$` becomes `$`. Seen on a real one.
_AS_IT_STANDS = {"annotations", "model", "relativeTimeRange"}


def _delivered(value: Any) -> Any:
    """What Grafana makes of a file's content, without any variable set."""
    if isinstance(value, dict):
        return {key: one if key in _AS_IT_STANDS else _delivered(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_delivered(one) for one in value]
    if not isinstance(value, str):
        return value
    return "$".join(re.sub(r"\$\w+|\$\{\w+\}", "", part) for part in value.split("$$"))


NOTE = "$$ 'q' \"{{ .Alerts }}\" 123"


@pytest.mark.parametrize("secret", ["12345678", "1e5", "true", "-3"])
def test_a_secret_that_grafana_takes_for_a_number_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    """It would not start with the file. One that is not set here may be a text there."""
    settings = {"url": "https://x.example", "authorization_credentials": {"env": "HOOK"}}
    odd = config({"fraud": "p"}, contact_points={"ops": {"type": "webhook", "settings": settings}})
    assert exported(odd, tmp_path).written
    monkeypatch.setenv("HOOK", "a" + secret)
    assert exported(odd, tmp_path).written
    monkeypatch.setenv("HOOK", secret)
    with pytest.raises(ConfigError, match=r"contact_points\.ops\.settings\.auth") as refused:
        exported(odd, tmp_path)
    assert secret not in str(refused.value)


def test_grafana_delivers_what_was_meant(tmp_path: Path) -> None:
    odd = config(
        {"fraud": "payments"},
        folder="costs $5 of ${HOME}",
        contact_points={
            "ops": {"type": "email", "settings": {"addresses": "a$b@example.com", "note": NOTE}}
        },
        routing={"routes": [{"contact_point": "ops"}]},
        data_source={"name": "driftline $1", "user": "re$der"},
    )
    objects = desired_objects(odd, generate(odd), (11, 0), secrets=False)
    export(odd, objects, tmp_path, "/srv/$x")
    by_uid = {one.uid: one.content for one in objects if one.kind == "rule"}
    groups = _delivered(content(tmp_path, "alerting/rules.yaml"))["groups"]
    found = {rule["uid"]: (group["folder"], rule) for group in groups for rule in group["rules"]}
    assert set(found) == set(by_uid)
    for uid, (folder, rule) in found.items():
        assert folder.startswith("costs $5 of ${HOME}")
        assert {key: by_uid[uid][key] for key in rule} == rule
        assert "$$" not in str(rule["annotations"]) + str([one["model"] for one in rule["data"]])
    (point,) = _delivered(content(tmp_path, "alerting/contact-points.yaml"))["contactPoints"]
    assert point["receivers"][0]["settings"] == {"addresses": "a$b@example.com", "note": NOTE}
    (source,) = _delivered(content(tmp_path, "datasources/driftline.yaml"))["datasources"]
    assert (source["name"], source["user"]) == ("driftline $1", "re$der")
    providers = _delivered(content(tmp_path, "dashboards/driftline.yaml"))["providers"]
    assert all(one["folder"].startswith("costs $5 of ${HOME}") for one in providers)
    assert all(one["options"]["path"].startswith("/srv/$x/dashboards/") for one in providers)
