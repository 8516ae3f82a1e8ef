"""What `driftline doctor` finds in a config alone."""

from typing import Any

import pytest

from driftline import doctor
from driftline.config import Config

INPUT = {"topic": "t", "event_id": "id", "event_time": "time", "fields": {"x": "float"}}
MODELS = {
    "fraud": {"input": INPUT, "registry": {"name": "m"}, "team": "payments"},
    "churn": {"input": INPUT, "registry": {"name": "m"}, "team": "growth"},
}
HOOK = {"type": "webhook", "settings": {"url": "https://hook.example"}}
ADDRESSES = {"urls": [{"env": "SLACK"}]}


def server(*routes: dict[str, Any]) -> dict[str, Any]:
    return {
        "url": "https://grafana.example",
        "token": {"env": "TOKEN"},
        "contact_points": {"ops": HOOK},
        "routing": {"routes": [{"contact_point": "ops", **route} for route in routes]},
    }


@pytest.mark.parametrize(
    ("sections", "level", "message"),
    [
        ({}, "note", "nobody is notified of incidents"),
        ({"notify": ADDRESSES}, "ok", "1 notification URL"),
        ({"notify": ADDRESSES, "grafana": server()}, "ok", "1 notification URL"),
        ({"grafana": server({})}, "ok", "Grafana has a route for every alert"),
        ({"grafana": server()}, "note", "28 kinds of alerts, such as drift (ticket) of"),
        (
            {"grafana": server({"severities": ["page"]}, {"teams": ["growth"]})},
            "note",
            "7 kinds of alerts, such as drift (ticket) of team 'payments'",
        ),
    ],
)
def test_alerts_that_reach_nobody_are_reported(
    sections: dict[str, Any], level: str, message: str
) -> None:
    config = Config.model_validate({"models": MODELS, **sections})
    (finding,) = doctor.check_notifications(config)
    assert finding.level == level
    assert message in finding.message
    assert bool(finding.fix) == (level == "note")
