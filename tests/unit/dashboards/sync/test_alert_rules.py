"""Alert rules and all else that is generated: golden files, and what holds for every config.

`DRIFTLINE_GOLDEN=write` writes the golden files anew.
"""

import json
import os
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from driftline import names
from driftline.config import Config
from driftline.config.grafana import Grafana
from driftline.config.monitors import Family
from driftline.dashboards.definitions.generate import generate
from driftline.dashboards.panels.board import panel_id
from driftline.dashboards.panels.uids import RULES
from driftline.dashboards.sync.alert_rules import HEARTBEAT, route_of, rules
from driftline.dashboards.sync.desired import desired_objects
from driftline.dashboards.sync.export import export
from tests.grafana.template import expand

GOLDEN = Path(__file__).parents[3] / "data" / "grafana" / "golden"
FAMILIES = get_args(Family)


def model(team: str, **more: Any) -> dict[str, Any]:
    return {
        "input": {
            "topic": "t",
            "event_id": "id",
            "event_time": "time",
            "fields": {"amount": "float"},
        },
        "registry": {"name": "m"},
        "team": team,
        **more,
    }


CONFIG = Config.model_validate(
    {
        "postgres": {"host": "db.example.com", "sslmode": "verify-full"},
        "grafana": {
            "url": "https://grafana.example.com",
            "token": {"env": "NOT_SET"},
            "contact_points": {
                "oncall": {
                    "type": "pagerduty",
                    "settings": {"integrationKey": {"env": "PAGERDUTY_KEY"}},
                },
                "tickets": {"type": "email", "settings": {"addresses": "ml@example.com"}},
            },
            "mute_timings": {
                "nights": [
                    {"times": [{"start": "22:00", "end": "24:00"}], "months": ["december"]},
                    {"times": [{"start": "00:00", "end": "06:00"}], "location": "Europe/Berlin"},
                ]
            },
            "routing": {
                "routes": [
                    {"contact_point": "oncall", "severities": ["page"]},
                    {
                        "contact_point": "tickets",
                        "mute_timings": ["nights"],
                        "repeat_interval": "1 d",
                    },
                ]
            },
            "interval": "30 s",
        },
        "models": {
            "fraud": model("payments", runbook="https://wiki.example.com/fraud"),
            "spend": model("payments", runbook="https://wiki.example.com/spend"),
            "churn": model("growth", runbook="https://wiki.example.com/churn"),
        },
    }
)


def golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("DRIFTLINE_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.read_text() == text


def test_each_model_has_its_own_runbook() -> None:
    """As Grafana fills the annotation in; `old` has none."""
    wiki = "https://wiki.example.com"
    addresses = {"fraud": f"{wiki}/fraud", "spend": f"{wiki}/money", "loans": f"{wiki}/money"}
    models = {name: model("payments", runbook=one) for name, one in addresses.items()}
    made = rules(Config(models={**models, "old": model("payments")}))
    (template,) = {one["annotations"]["runbook_url"] for one in made if one["uid"] != HEARTBEAT}
    filled = {name: expand(template, {"model": name}, {}) for name in (*models, "old")}
    assert filled == {**addresses, "old": ""}


def test_models_without_a_runbook_have_no_address() -> None:
    made = rules(Config(models={"old": model("payments")}))
    assert not [one for one in made if "runbook_url" in one["annotations"]]


def test_golden_rules() -> None:
    chosen = [HEARTBEAT, "driftline-drift-ticket-payments", "driftline-latency-page-growth"]
    made = [one for one in rules(CONFIG) if one["uid"] in chosen]
    golden("rules.json", json.dumps(made, indent=1) + "\n")


@pytest.mark.parametrize(
    "name",
    ["alerting/contact-points.yaml", "alerting/mute-timings.yaml", "datasources/driftline.yaml"],
)
def test_golden_provisioning_files(name: str, tmp_path: Path) -> None:
    export(CONFIG, desired_objects(CONFIG, [], (11, 0), secrets=False), tmp_path)
    golden(name.replace("/", "-"), (tmp_path / name).read_text())


def test_provisioning_files_are_whole(tmp_path: Path) -> None:
    made = desired_objects(CONFIG, generate(CONFIG), (11, 0), secrets=False)
    paths, removed = export(CONFIG, made, tmp_path)
    assert removed == []
    pages = [path for path in paths if path.suffix == ".json"]
    assert [json.loads(path.read_text())["uid"] for path in pages] == [
        names.FLEET_UID,
        names.MODELS_UID,
        names.PIPELINE_UID,
    ]
    files = {path.name: yaml.safe_load(path.read_text()) for path in paths if path not in pages}
    groups = files["rules.yaml"]["groups"]
    assert {group["folder"]: len(group["rules"]) for group in groups} == {
        "driftline": 1,
        "driftline growth": 14,
        "driftline payments": 14,
    }
    annotation = groups[1]["rules"][0]["annotations"]["summary"]
    assert annotation == "{{ $labels.model }}: {{ $labels.family }} alarm"


def test_one_rule_for_each_family_and_severity_of_a_team() -> None:
    uids = [one["uid"] for one in rules(CONFIG)]
    assert len(uids) == len(set(uids)) == 1 + 2 * 2 * len(FAMILIES)
    assert all(len(uid) <= 40 for uid in uids)
    assert all(re.fullmatch(RULES, uid) for uid in uids)


def test_labels_are_the_identity_alone_and_nothing_waits() -> None:
    for one in rules(CONFIG):
        assert one["labels"] == {}  # the query's columns: model, family, team
        assert one["for"] == "0s"


def test_a_dead_database_is_one_alert() -> None:
    states = {(one["noDataState"], one["execErrState"]) for one in rules(CONFIG)[1:]}
    assert states == {("KeepLast", "KeepLast")}
    heartbeat = rules(CONFIG)[0]
    assert (heartbeat["noDataState"], heartbeat["execErrState"]) == ("Alerting", "Alerting")
    older = {(one["noDataState"], one["execErrState"]) for one in rules(CONFIG, (10, 4))[1:]}
    assert older == {("NoData", "Error")}


def test_the_panel_that_an_alert_shows_is_there() -> None:
    (page,) = [one for one in generate(CONFIG) if one["uid"] == names.MODELS_UID]
    assert panel_id("incidents") in [panel["id"] for panel in page["panels"]]


def test_the_first_route_that_matches_is_taken() -> None:
    page = route_of(CONFIG.grafana, "payments", "drift", "page")
    ticket = route_of(CONFIG.grafana, "payments", "drift", "ticket")
    assert page is not None
    assert ticket is not None
    assert (page.contact_point, ticket.contact_point) == ("oncall", "tickets")


def test_names_with_quotes_stay_text() -> None:
    fraud = next(one for one in rules(CONFIG) if one["uid"] == "driftline-drift-page-payments")
    assert "ARRAY['fraud', 'spend']" in fraud["data"][0]["model"]["rawSql"]


def grafana(**section: Any) -> Grafana:
    return Grafana.model_validate({"url": "https://g.example", "token": {"env": "T"}, **section})


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"token": None}, "url needs token"),
        ({"interval": "15 s"}, "must be a multiple of 10 s"),
        (
            {"contact_points": {"a": {"type": "slack", "settings": {"token": "xoxb"}}}},
            "is a secret",
        ),
        (
            {"contact_points": {"a": {"type": "webhook", "settings": {"x": 1}}}},
            "needs the setting url",
        ),
        ({"routing": {"routes": [{"contact_point": "a"}]}}, "no contact point 'a'"),
        ({"mute_timings": {"a": [{"times": [{"start": "22:00", "end": "06:00"}]}]}}, "split"),
        ({"mute_timings": {"a": [{"weekdays": ["funday"]}]}}, "weekday 'funday'"),
        ({"mute_timings": {"a": [{"days_of_month": ["32"]}]}}, "day of month '32'"),
        ({"mute_timings": {"a": [{}]}}, "at least one of"),
    ],
)
def test_what_grafana_would_refuse_is_refused_at_once(
    section: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        grafana(**section)
