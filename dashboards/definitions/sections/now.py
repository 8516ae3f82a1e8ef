"""The current state: alerts, champion, traffic, drift, latency, missing values."""

from grafana_foundation_sdk.builders import stat
from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from driftline import names
from driftline.dashboards.definitions.sections.incidents import runbook
from driftline.dashboards.panels import palette, style
from driftline.dashboards.panels.board import Panel, describe, mapped, table
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.panels.scope import WINDOW, Scope

_ACTIONS = {
    "drift": "see Drift; if the change is intended, run driftline alerts accept",
    "quality": "see Data quality; fix the producer of the events",
    "latency": "see Latency; give the job more workers, or roll back the version",
    "volume": "see Traffic and versions; check the producer of the events",
    "performance": "see Performance; roll back the version, or retrain the model",
    "registry": "run driftline models show",
    "pipeline": "run driftline doctor",
}


def panels(scope: Scope) -> list[Panel]:
    """The panels of the section."""
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
    """The worst state of the model's alerts."""
    states = mapped(
        *((str(rank), text, colour) for rank, (_, text, colour) in enumerate(style.ALERTS[:5], 1))
    )
    return describe(
        style.figure(stat.Panel()).mappings(states),
        "state",
        "State",
        "The worst state of the model's alerts, over all families; details on the right.",
        table(f"""\
SELECT max({style.ALERT_RANK}) AS state
  FROM driftline.alert WHERE model = {scope.model}"""),
        size=(5, 7),
        empty="Not monitored yet: start 'driftline monitor'",
    )


def alerts(scope: Scope) -> Panel:
    """The alert of each family: state, start, problem and what to do."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("state", style.pill(*style.ALERTS))
    panel = panel.override_by_name("severity", style.pill(*style.SEVERITIES))
    panel = panel.override_by_name("problem", [DynamicConfigValue("custom.width", 420)])
    panel = panel.override_by_name(
        "runbook", style.linked("Runbook", "${__value.raw}", new_tab=True)
    )
    actions = " ".join(f"WHEN {quoted(key)} THEN {quoted(text)}" for key, text in _ACTIONS.items())
    return describe(
        panel,
        "alerts",
        "Alerts",
        "The alert of each family of monitors, the worst first, in any time range. "
        "'driftline alerts ack' and 'silence' stop notifications during an investigation.",
        table(f"""\
SELECT replace(alert.state, '_', ' ') AS state,
       CASE WHEN alert.state IN ('firing', 'broken') THEN alert.severity ELSE '' END AS severity,
       alert.family, coalesce(incident.since, alert.since) AS since,
       CASE alert.state WHEN 'ok' THEN ''
            ELSE coalesce(nullif(alert.summary, ''), incident.summary, '') END AS "problem",
       CASE WHEN alert.state NOT IN ('ok', 'no_data')
            THEN CASE alert.family {actions} ELSE '' END ELSE '' END AS "action",
       CASE WHEN alert.state IN ('firing', 'broken') THEN {runbook(scope, "alert.model")}
            ELSE '' END AS runbook,
       coalesce(incident.acknowledged_by, '') AS acknowledged
  FROM driftline.alert
  LEFT JOIN driftline.incident ON incident.id = alert.incident_id AND alert.state <> 'ok'
 WHERE alert.model = {scope.model}
 ORDER BY {style.ALERT_RANK} DESC, alert.severity, alert.since DESC"""),
        size=(19, 7),
        empty="Not monitored yet: start 'driftline monitor'",
    )


def version(scope: Scope) -> Panel:
    """The champion version."""
    return describe(
        style.figure(stat.Panel()).unit("none"),
        "version",
        "Champion",
        "The version of the latest promotion or rollback.",
        table(f"""\
SELECT version FROM driftline.promotion
 WHERE model = {scope.model} AND kind <> 'refused' ORDER BY id DESC LIMIT 1"""),
        size=(5, 4),
        empty="No version promoted",
    )


def predictions(scope: Scope) -> Panel:
    """The number of rows in the last window."""
    return describe(
        style.figure(stat.Panel()),
        "predictions",
        "Predictions",
        "Rows in the last judged window of the time range.",
        table(f"""\
SELECT rows FROM driftline.judged_window
 WHERE {scope.windows} ORDER BY window_end DESC LIMIT 1"""),
        size=(5, 4),
        empty="No window judged in this range",
    )


def drifting(scope: Scope) -> Panel:
    """The number of columns in alarm."""
    return describe(
        style.figure(stat.Panel()).thresholds(style.from_zero((0, palette.OK), (1, palette.ALARM))),
        "drifting",
        "Columns in alarm",
        "Columns with a drift alarm in the last judged window of the time range; see Drift.",
        table(f"""\
SELECT count(DISTINCT "column") FILTER (WHERE status = 'alarm') AS columns
  FROM driftline.verdict
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND family = 'drift'"""),
        size=(5, 4),
        empty="No window judged in this range",
    )


def inference(scope: Scope) -> Panel:
    """The 99th percentile of the inference time."""
    return describe(
        style.figure(stat.Panel()).unit("ms").decimals(1),
        "inference now",
        "Inference p99",
        "99 % of the predictions in the last judged window took at most this long.",
        table(f"""\
SELECT max(p99) AS p99 FROM driftline.window_stat
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND "column" = '{names.INFERENCE_MS}' AND segment = '' AND role = '{names.SERVED}'"""),
        size=(5, 4),
        empty="No window judged in this range",
    )


def missing(scope: Scope) -> Panel:
    """The largest share of missing values of a column."""
    return describe(
        style.figure(stat.Panel()).unit("percentunit").decimals(1),
        "missing now",
        "Missing values",
        "Largest share of missing or invalid values in a column of the last judged window.",
        table(f"""\
SELECT max((missing + invalid)::float8 / rows) AS share FROM driftline.window_stat
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND segment = '' AND role = '{names.SERVED}' AND rows > 0"""),
        size=(4, 4),
        empty="No window judged in this range",
    )
