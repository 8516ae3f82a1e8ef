"""All dashboards of a config, as Grafana's JSON: pure, the same for the same config."""

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


class PageError(DriftlineError):
    """One page cannot be generated; `uid` is the dashboard's."""

    def __init__(self, uid: str, whose: str, error: Exception) -> None:
        where = traceback.extract_tb(error.__traceback__)[-1]
        super().__init__(
            f"can't generate the page of {whose}: {type(error).__name__}: {error}"
            f" ({Path(where.filename).name}, line {where.lineno}): a bug, please report it"
        )
        self.uid = uid


def generate(config: Config) -> list[Json]:
    """The fleet, all models on one page, the pipeline, and a page for each model that asks for it.

    Each has a uid of its own that stays, and so have its panels their ids.

    Raises:
        PageError: one of them cannot be generated.
    """
    made = []
    for page in pages(config):
        if isinstance(page, PageError):
            raise page
        made.append(page)
    return made


def pages(config: Config) -> list[Json | PageError]:
    """As `generate`, with an error in the place of each that fails, so that it stops no other."""
    source = config.grafana.data_source.uid
    return [_made(source, *maker) for maker in _makers(config)]


def _made(source: str, uid: str, whose: str, make: Callable[[], Json]) -> Json | PageError:
    try:
        return _reading(source, make())
    except Exception as error:  # whatever a builder raises
        return PageError(uid, whose, error)


def _makers(config: Config) -> Iterator[tuple[str, str, Callable[[], Json]]]:
    """For each page its uid, whose it is, and how it is made."""
    every = partial(_scope, config, config.models)
    yield names.FLEET_UID, "the fleet", lambda: fleet(every(names.FLEET_UID))
    yield names.MODELS_UID, "all models", lambda: model(every(names.MODELS_UID))
    yield names.PIPELINE_UID, "the pipeline", lambda: pipeline(every(names.PIPELINE_UID))
    for name, section in sorted(config.models.items()):
        if section.dashboard == "own":
            own = partial(_own, config, name, section)
            yield names.dashboard_uid(name), f"model {name!r}", own


def _reading(uid: str, dashboard: Json) -> Json:
    """The dashboard with the config's data source."""
    if uid == names.DATASOURCE_UID:
        return dashboard
    text = json.dumps(dashboard).replace(f'"uid": "{names.DATASOURCE_UID}"', f'"uid": "{uid}"')
    done: Json = json.loads(text)
    return done


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
    alone = _scope(config, {name: section}, names.dashboard_uid(name))
    return model(replace(alone, name=name, section=section))


def _seconds(models: Any) -> tuple[int, ...]:
    """The lengths of windows that any of them has, the commonest first; the defaults without."""
    sections = [section.monitors for section in models] or [Monitors()]
    lengths = [window.seconds for section in sections for window in section.windows]
    return tuple(sorted(set(lengths), key=lambda seconds: (-lengths.count(seconds), seconds)))


def _range(models: Iterable[Model]) -> tuple[str, str]:
    """The last week; where all are replays of the past, the past that they accept.

    With milliseconds: Grafana reads a shorter time in an address as a number.
    """
    accepted = [one.input.accept for one in models]
    since = [one.since for one in accepted if one.since is not None]
    until = [one.until for one in accepted if one.until is not None]
    if not accepted or len(since) < len(accepted) or len(until) < len(accepted):
        return "now-7d", "now"
    return f"{min(since):%Y-%m-%dT%H:%M:%S.000Z}", f"{max(until):%Y-%m-%dT%H:%M:%S.000Z}"


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
