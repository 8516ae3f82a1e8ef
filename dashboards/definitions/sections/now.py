"""What stands now: state, version, traffic, drift, latency, labels."""

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from driftline import names
from driftline.dashboards.definitions.sections.incidents import runbook
from driftline.dashboards.panels import palette, style
from driftline.dashboards.panels.board import Panel, describe, mapped, table
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.panels.scope import WINDOW, Scope

_WAYS = {
    "drift": "see Drift; if it is meant to be so: driftline alerts accept",
    "quality": "see Data quality; mend what sends the events",
    "latency": "see Latency; give the job more workers, or roll the version back",
    "volume": "see Traffic; ask who sends the events",
    "performance": "see Performance; roll the version back, or train it anew",
    "registry": "driftline models show",
    "pipeline": "driftline doctor",
}


def panels(scope: Scope) -> list[Panel]:
    """The section."""
    return [
        state(scope),
        alerts(scope),
        version(scope),
        predictions(scope),
        drifting(scope),
        inference(scope),
        missing(scope),
    ]


def state(scope: Scope) -> Panel:
    """The worst of the model's alerts."""
    states = mapped(
        *((str(rank), text, colour) for rank, (_, text, colour) in enumerate(style.ALERTS[:5], 1))
    )
    return describe(
        style.figure(stat.Panel()).mappings(states),
        "state",
        "State",
        "The worst state of the model's alerts, of all families.",
        table(f"""\
SELECT max({style.ALERT_RANK}) AS state
  FROM driftline.alert WHERE model = {scope.model}"""),
        size=(5, 7),
        empty="Not watched yet: start 'driftline monitor'",
    )


def alerts(scope: Scope) -> Panel:
    """Each family: since when it is as it is, what changed, what to do."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("state", style.pill(*style.ALERTS))
    panel = panel.override_by_name("severity", style.pill(*style.SEVERITIES))
    panel = panel.override_by_name("what changed", [DynamicConfigValue("custom.width", 420)])
    panel = panel.override_by_name(
        "runbook", style.linked("Runbook", "${__value.raw}", new_tab=True)
    )
    ways = " ".join(f"WHEN {quoted(family)} THEN {quoted(way)}" for family, way in _WAYS.items())
    return describe(
        panel,
        "alerts",
        "What is wrong, since when, what to do",
        "The alert of each family of monitors, the worst first, whatever the range. 'driftline "
        "alerts silence' and 'ack' keep it quiet while somebody looks.",
        table(f"""\
SELECT replace(alert.state, '_', ' ') AS state,
       CASE WHEN alert.state IN ('firing', 'broken') THEN alert.severity ELSE '' END AS severity,
       alert.family, coalesce(incident.since, alert.since) AS since,
       CASE alert.state WHEN 'ok' THEN ''
            ELSE coalesce(nullif(alert.summary, ''), incident.summary, '') END AS "what changed",
       CASE WHEN alert.state NOT IN ('ok', 'no_data')
            THEN CASE alert.family {ways} ELSE '' END ELSE '' END AS "what to do",
       CASE WHEN alert.state IN ('firing', 'broken') THEN {runbook(scope, "alert.model")}
            ELSE '' END AS runbook,
       coalesce(incident.acknowledged_by, '') AS acknowledged
  FROM driftline.alert
  LEFT JOIN driftline.incident ON incident.id = alert.incident_id AND alert.state <> 'ok'
 WHERE alert.model = {scope.model}
 ORDER BY {style.ALERT_RANK} DESC, alert.severity, alert.since DESC"""),
        size=(19, 7),
        empty="Not watched yet: start 'driftline monitor'",
    )


def version(scope: Scope) -> Panel:
    """The champion."""
    return describe(
        style.figure(stat.Panel()).unit("none"),
        "version",
        "Champion",
        "The version that was promoted last.",
        table(f"""\
SELECT version FROM driftline.promotion
 WHERE model = {scope.model} AND kind <> 'refused' ORDER BY id DESC LIMIT 1"""),
        size=(5, 4),
        empty="None was promoted",
    )


def predictions(scope: Scope) -> Panel:
    """Rows of the last window."""
    return describe(
        style.figure(stat.Panel()),
        "predictions",
        "Predictions",
        "Rows of the last judged window of the range.",
        table(f"""\
SELECT rows FROM driftline.judged_window
 WHERE {scope.windows} ORDER BY window_end DESC LIMIT 1"""),
        size=(5, 4),
        empty="No window judged",
    )


def drifting(scope: Scope) -> Panel:
    """Columns in alarm."""
    return describe(
        style.figure(stat.Panel()).thresholds(style.from_zero((0, palette.OK), (1, palette.ALARM))),
        "drifting",
        "Columns in alarm",
        "Columns with a drift verdict 'alarm' in the last judged window of the range.",
        table(f"""\
SELECT count(DISTINCT "column") FILTER (WHERE status = 'alarm') AS columns
  FROM driftline.verdict
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND family = 'drift'"""),
        size=(5, 4),
        empty="No window judged",
    )


def inference(scope: Scope) -> Panel:
    """The slow end of inference."""
    return describe(
        style.figure(stat.Panel()).unit("ms").decimals(1),
        "inference now",
        "Inference p99",
        "99 % of the predictions of the last judged window took at most this.",
        table(f"""\
SELECT max(p99) AS p99 FROM driftline.window_stat
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND "column" = '{names.INFERENCE_MS}' AND segment = '' AND role = '{names.SERVED}'"""),
        size=(5, 4),
        empty="No window judged",
    )


def missing(scope: Scope) -> Panel:
    """The worst column."""
    return describe(
        style.figure(stat.Panel()).unit("percentunit").decimals(1),
        "missing now",
        "Most missing values",
        "The largest share of missing or invalid values of a column in the last judged window.",
        table(f"""\
SELECT max((missing + invalid)::float8 / rows) AS share FROM driftline.window_stat
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND segment = '' AND role = '{names.SERVED}' AND rows > 0"""),
        size=(4, 4),
        empty="No window judged",
    )
