"""All dashboards of a config, as Grafana's JSON: pure, the same for the same config."""

import json
from typing import Any

from dashboards.fleet import fleet
from dashboards.model import model
from dashboards.pipeline import pipeline
from dashboards.scope import Scope
from driftline import names
from driftline.config import Config, Model
from driftline.monitoring import Monitors


def generate(config: Config) -> list[dict[str, Any]]:
    """The fleet, all models on one page, the pipeline, and a page for each model that asks for it.

    Each has a uid of its own that stays, and so have its panels their ids.
    """
    every = Scope(
        names.MODELS_UID,
        _seconds(config.models.values()),
        limits=_limits(config.models),
        runbooks=_runbooks(config.models),
    )
    own = [
        _own(name, section)
        for name, section in sorted(config.models.items())
        if section.dashboard == "own"
    ]
    made = [
        fleet(Scope(names.FLEET_UID, every.seconds)),
        model(every),
        pipeline(Scope(names.PIPELINE_UID, every.seconds)),
        *map(model, own),
    ]
    return [_reading(config.grafana.data_source.uid, one) for one in made]


def _reading(uid: str, dashboard: dict[str, Any]) -> dict[str, Any]:
    """The dashboard with the config's data source."""
    if uid == names.DATASOURCE_UID:
        return dashboard
    text = json.dumps(dashboard).replace(f'"uid": "{names.DATASOURCE_UID}"', f'"uid": "{uid}"')
    done: dict[str, Any] = json.loads(text)
    return done


def _own(name: str, section: Model) -> Scope:
    alone = {name: section}
    return Scope(
        names.dashboard_uid(name),
        _seconds(alone.values()),
        limits=_limits(alone),
        runbooks=_runbooks(alone),
        name=name,
        section=section,
    )


def _seconds(models: Any) -> tuple[int, ...]:
    """The lengths of windows that any of them has, the commonest first; the defaults without."""
    sections = [section.monitors for section in models] or [Monitors()]
    lengths = [window.seconds for section in sections for window in section.windows]
    return tuple(sorted(set(lengths), key=lambda seconds: (-lengths.count(seconds), seconds)))


def _limits(models: dict[str, Model]) -> dict[str, float]:
    found = {}
    for name, section in sorted(models.items()):
        objective = section.monitors.latency.inference
        if objective is not None:
            found[name] = objective.limit.total_seconds() * 1000
    return found


def _runbooks(models: dict[str, Model]) -> dict[str, str]:
    known = {name: one.runbook for name, one in sorted(models.items())}
    return {name: runbook for name, runbook in known.items() if runbook is not None}
