"""Time to generate dashboards for 500 models, and Grafana requests of a plan without changes."""

import time
from pathlib import Path
from typing import Any

from driftline.config import Config, Model
from driftline.config.grafana import Grafana
from driftline.dashboards.definitions.generate import generate
from driftline.dashboards.sync.apply import apply
from driftline.dashboards.sync.desired import desired_objects
from driftline.dashboards.sync.plan import plan
from driftline.dashboards.sync.session import session
from driftline.storage.tables import schema
from tests.grafana.app import StandIn
from tests.grafana.serving import served

MODELS, TEAMS, FEATURES = 500, 10, 20
_SERVER = (11, 0)
_TOKEN = "bench"  # noqa: S105 - of the stand-in


def measure(config: Config) -> dict[str, float]:
    """Returns figures by key.

    Generation is measured for the worst case, a dashboard for each model; the tests' Grafana
    stand-in counts the requests of a plan, with a shared dashboard and with one for each model.

    Parameters:
        config: with a database.
    """
    schema.migrate(config)
    own = _with_models(config, "own")
    start = time.perf_counter()
    desired_objects(own, generate(own), _SERVER, secrets=False)
    figures = {"grafana.generate_500_seconds": time.perf_counter() - start}
    for dashboard, key in (("shared", "plan_requests"), ("own", "plan_requests_own_pages")):
        figures[f"grafana.{key}"] = _requests(_with_models(config, dashboard))
    return figures


def _requests(config: Config) -> float:
    stand_in = StandIn()
    stand_in.store.tokens = {_TOKEN: "Admin"}
    token = Path(config.state) / "bench" / "grafana_token"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text(_TOKEN)
    with served(stand_in) as url:
        section = Grafana.model_validate({"url": url, "token": {"file": token}})
        with session(config.model_copy(update={"grafana": section})) as grafana:
            objects = grafana.desired_objects()
            outcome = apply(grafana.server, grafana.state, objects)
            second_plan = plan(grafana.server, grafana.state, objects)
    if outcome.failed or second_plan.differs:
        raise RuntimeError("the second plan is not empty")
    return float(second_plan.requests)


def _with_models(config: Config, dashboard: str) -> Config:
    models = {f"model-{i}": _model(f"team-{i % TEAMS}", dashboard) for i in range(MODELS)}
    return config.model_copy(update={"models": models})


def _model(team: str, dashboard: str) -> Model:
    section: dict[str, Any] = {
        "input": {
            "topic": "t",
            "event_id": "id",
            "event_time": "time",
            "fields": {f"feature_{i}": "float" for i in range(FEATURES)},
        },
        "registry": {"name": "m"},
        "team": team,
        "dashboard": dashboard,
    }
    return Model.model_validate(section)
