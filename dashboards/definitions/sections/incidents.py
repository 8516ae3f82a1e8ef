"""What went wrong, with the way to the evidence."""

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
    """The section."""
    return [timeline(scope), incidents(scope), reports(scope)]


def timeline(scope: Scope) -> Panel:
    """Alarms of all families."""
    return describe(
        style.timeline(statetimeline.Panel()),
        "families",
        "Verdicts by family",
        "The worst verdict of each family of monitors in each window, over all rows.",
        states.by_window(
            f"SELECT window_end, family AS metric, {style.RANK} AS status FROM driftline.verdict"
            f" WHERE {scope.windows} AND segment = ''",
            _NO_VERDICT,
        ),
        size=(24, 7),
        empty=_NO_VERDICT,
    )


def incidents(scope: Scope) -> Panel:
    """Incidents of the range."""
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
        "Incidents that touch the range, the latest first, with their Evidently report (served by "
        "'driftline preview') and the model's runbook.",
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
    """Evidently's deep reports."""
    panel = style.listing(table_panel.Panel()).override_by_name(
        "report", style.linked("Evidently report", scope.report)
    )
    return describe(
        panel,
        "reports",
        "Reports",
        "Deep reports by Evidently on a sample of raw rows: 'driftline report' makes more.",
        table(f"""\
SELECT id AS report, since, until, rows FROM driftline.report
 WHERE model = {scope.model} AND until >= $__timeFrom() AND since <= $__timeTo()
 ORDER BY until DESC LIMIT 50"""),
        size=(8, 9),
        empty="No report of this range: 'driftline report' makes one",
    )


def runbook(scope: Scope, model: str) -> str:
    """SQL of a model's runbook; empty where it has none."""
    if not scope.runbooks:
        return "''"
    known = ", ".join(f"({quoted(name)}, {quoted(url)})" for name, url in scope.runbooks.items())
    return (
        f"coalesce((SELECT url FROM (VALUES {known}) AS runbook (name, url)"
        f" WHERE name = {model}), '')"
    )
