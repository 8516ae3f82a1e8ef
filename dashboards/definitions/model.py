"""The dashboard of a model: the one that the reader selects, or one fixed model."""

from typing import Any

from driftline.dashboards.definitions.sections import (
    challenger,
    drift,
    incidents,
    latency,
    now,
    performance,
    quality,
    score,
    segments,
    traffic,
)
from driftline.dashboards.panels import annotations, variables
from driftline.dashboards.panels.board import Section, board
from driftline.dashboards.panels.scope import Scope
from driftline.dashboards.panels.uids import team_tag


def model(scope: Scope) -> dict[str, Any]:
    """The Models dashboard, or the dashboard of one model."""
    selector = [variables.of_model()] if scope.name is None else []
    return board(
        scope.uid,
        "driftline · Models" if scope.name is None else f"driftline · {scope.name}",
        "One model: alerts, traffic, drift, performance, latency, data quality, incidents.",
        variables=[
            *selector,
            variables.window(scope),
            variables.version(scope),
            variables.segment(scope),
            variables.column(scope),
        ],
        annotations=annotations.of(scope),
        links=variables.links(),
        time=scope.range,
        tags=[] if scope.section is None else [team_tag(scope.section.team)],
        sections=[
            Section("Now", now.panels(scope)),
            Section("Traffic and versions", traffic.panels(scope)),
            Section("Score", score.panels(scope)),
            Section("Drift", drift.panels(scope)),
            Section("Performance", performance.panels(scope)),
            Section("Latency", latency.panels(scope)),
            Section("Data quality", quality.panels(scope)),
            Section("Segments", segments.panels(scope)),
            Section("Champion against challenger", challenger.panels(scope)),
            Section("Incidents", incidents.panels(scope)),
        ],
    )
