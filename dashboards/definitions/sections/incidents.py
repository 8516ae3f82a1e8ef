"""Incidents, with links to the evidence."""

from grafana_foundation_sdk.builders import statetimeline
from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from driftline.dashboards.definitions.sections import states
from driftline.dashboards.panels import style
from driftline.dashboards.panels.board import Panel, describe, table
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.panels.scope import Scope

_NO_VERDICT = "No verdict in this range"


def panels(scope: Scope) -> list[Panel]:
    """The panels of the section."""
    return [timeline(scope), incidents(scope), reports(scope)]


def timeline(scope: Scope) -> Panel:
    """The verdicts of all families."""
    return describe(
        style.timeline(statetimeline.Panel()),
        "families",
        "Verdicts by family",
        "The worst verdict of each family of monitors in each window, for all rows (without "
        "segments).",
        states.by_window(
            f"SELECT window_end, family AS metric, {style.RANK} AS status FROM driftline.verdict"
            f" WHERE {scope.windows} AND segment = ''",
            _NO_VERDICT,
        ),
        size=(24, 7),
        empty=_NO_VERDICT,
    )


def incidents(scope: Scope) -> Panel:
    """The incidents of the time range."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("severity", style.pill(*style.SEVERITIES))
    panel = panel.override_by_name("duration", [DynamicConfigValue("unit", "s")])
    panel = panel.override_by_name("report", style.linked("Evidently report", scope.report))
    panel = panel.override_by_name(
        "runbook", style.linked("Runbook", "${__value.raw}", new_tab=True)
    )
    return describe(
        panel,
        "incidents",
        "Incidents",
        "Incidents that overlap the time range, newest first, with their Evidently report (needs "
        "a running 'driftline preview') and the model's runbook.",
        table(f"""\
SELECT id, severity, family, since, last, extract(epoch FROM last - since)::float8 AS duration,
       resolved_at AS resolved, summary, resolution, report_id AS report,
       {runbook(scope, "incident.model")} AS runbook, coalesce(acknowledged_by, '') AS acknowledged
  FROM driftline.incident
 WHERE model = {scope.model} AND since <= $__timeTo() AND last >= $__timeFrom()
 ORDER BY opened_at DESC LIMIT 100"""),
        size=(16, 9),
        empty="No incidents in this range",
    )


def reports(scope: Scope) -> Panel:
    """The Evidently reports."""
    panel = style.listing(table_panel.Panel()).override_by_name(
        "report", style.linked("Evidently report", scope.report)
    )
    return describe(
        panel,
        "reports",
        "Reports",
        "Evidently reports on a sample of raw rows. 'driftline report' creates more.",
        table(f"""\
SELECT id AS report, since, until, rows FROM driftline.report
 WHERE model = {scope.model} AND until >= $__timeFrom() AND since <= $__timeTo()
 ORDER BY until DESC LIMIT 50"""),
        size=(8, 9),
        empty="No reports in this range: run 'driftline report' to create one",
    )


def runbook(scope: Scope, model: str) -> str:
    """SQL: the URL of a model's runbook; empty when it has none."""
    if not scope.runbooks:
        return "''"
    urls = ", ".join(f"({quoted(name)}, {quoted(url)})" for name, url in scope.runbooks.items())
    return (
        f"coalesce((SELECT url FROM (VALUES {urls}) AS runbook (name, url)"
        f" WHERE name = {model}), '')"
    )
