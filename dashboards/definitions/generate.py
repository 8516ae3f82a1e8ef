"""All dashboards of a config in Grafana's JSON format: a pure function of the config."""

import json
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from driftline import names
from driftline.config import Config, Model
from driftline.config.monitors import Monitors
from driftline.dashboards.definitions.fleet import fleet
from driftline.dashboards.definitions.model import model
from driftline.dashboards.definitions.pipeline import pipeline
from driftline.dashboards.panels.scope import Scope
from driftline.errors import DriftlineError

Json = dict[str, Any]


class DashboardError(DriftlineError):
    """A dashboard cannot be generated; `uid` identifies it."""

    def __init__(self, uid: str, subject: str, error: Exception) -> None:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        super().__init__(
            f"can't generate the dashboard of {subject}: {type(error).__name__}: {error}"
            f" ({Path(frame.filename).name}, line {frame.lineno}): this is a bug, please report it"
        )
        self.uid = uid


def generate(config: Config) -> list[Json]:
    """Generate Fleet, Models, Pipeline, and one dashboard per model with `dashboard: own`.

    The UIDs of dashboards and the ids of panels are stable.

    Raises:
        DashboardError: one of them cannot be generated.
    """
    dashboards = []
    for dashboard in generate_each(config):
        if isinstance(dashboard, DashboardError):
            raise dashboard
        dashboards.append(dashboard)
    return dashboards


def generate_each(config: Config) -> list[Json | DashboardError]:
    """Like `generate`, but with the error in place of each dashboard that fails."""
    source = config.grafana.data_source.uid
    return [_built(source, *builder) for builder in _builders(config)]


def _built(source: str, uid: str, subject: str, build: Callable[[], Json]) -> Json | DashboardError:
    try:
        return _with_data_source(source, build())
    except Exception as error:  # a builder may raise anything, and must not stop the others
        return DashboardError(uid, subject, error)


def _builders(config: Config) -> Iterator[tuple[str, str, Callable[[], Json]]]:
    """Yield UID, subject and builder of each dashboard."""
    scope = partial(_scope, config, config.models)
    yield names.FLEET_UID, "the fleet", lambda: fleet(scope(names.FLEET_UID))
    yield names.MODELS_UID, "all models", lambda: model(scope(names.MODELS_UID))
    yield names.PIPELINE_UID, "the pipeline", lambda: pipeline(scope(names.PIPELINE_UID))
    for name, section in sorted(config.models.items()):
        if section.dashboard == "own":
            build = partial(_own, config, name, section)
            yield names.dashboard_uid(name), f"model {name!r}", build


def _with_data_source(uid: str, dashboard: Json) -> Json:
    """Return the dashboard with the config's data source."""
    if uid == names.DATASOURCE_UID:
        return dashboard
    text = json.dumps(dashboard).replace(f'"uid": "{names.DATASOURCE_UID}"', f'"uid": "{uid}"')
    replaced: Json = json.loads(text)
    return replaced


def _scope(config: Config, models: dict[str, Model], uid: str) -> Scope:
    return Scope(
        uid,
        _seconds(models.values()),
        limits=_limits(models),
        runbooks=_runbooks(models),
        preview=config.grafana.preview_url,
        range=_range(models.values()),
    )


def _own(config: Config, name: str, section: Model) -> Json:
    scope = _scope(config, {name: section}, names.dashboard_uid(name))
    return model(replace(scope, name=name, section=section))


def _seconds(models: Any) -> tuple[int, ...]:
    """Window lengths of the models, the most common first; the defaults without models."""
    sections = [section.monitors for section in models] or [Monitors()]
    lengths = [window.seconds for section in sections for window in section.windows]
    return tuple(sorted(set(lengths), key=lambda seconds: (-lengths.count(seconds), seconds)))


def _range(models: Iterable[Model]) -> tuple[str, str]:
    """The last week, or the accepted period when all models replay past events.

    With milliseconds: Grafana reads a shorter time in a URL as a number.
    """
    accepted = [section.input.accept for section in models]
    since = [period.since for period in accepted if period.since is not None]
    until = [period.until for period in accepted if period.until is not None]
    if not accepted or len(since) < len(accepted) or len(until) < len(accepted):
        return "now-7d", "now"
    return f"{min(since):%Y-%m-%dT%H:%M:%S.000Z}", f"{max(until):%Y-%m-%dT%H:%M:%S.000Z}"


def _limits(models: dict[str, Model]) -> dict[str, float]:
    limits = {}
    for name, section in sorted(models.items()):
        objective = section.monitors.latency.inference
        if objective is not None:
            limits[name] = objective.limit.total_seconds() * 1000
    return limits


def _runbooks(models: dict[str, Model]) -> dict[str, str]:
    runbooks = {name: section.runbook for name, section in sorted(models.items())}
    return {name: runbook for name, runbook in runbooks.items() if runbook is not None}
