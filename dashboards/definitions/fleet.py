"""The Fleet dashboard: all models, those with problems first.

No query reads rows or profiles. They read `alert` (one row per model and family),
`monitor_progress` (one row per model) and, by index, the last windows of each model.
"""

from typing import Any

from grafana_foundation_sdk.builders import barchart, stat, timeseries
from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from driftline import names
from driftline.dashboards.panels import palette, style, variables
from driftline.dashboards.panels.board import Panel, Query, Section, board, describe, table
from driftline.dashboards.panels.scope import WINDOW, Scope

_MAX_LISTED = 200  # models in a table; those with problems come first
_MAX_DRAWN = 10  # models in a chart

# The last judged window of each selected model, by the index of judged_window. It ignores the time
# range: a dashboard opened on the last days must not show a replay of older events as idle.
_LAST_WINDOW = f"""\
CROSS JOIN LATERAL (
  SELECT window_end, rows FROM driftline.judged_window
   WHERE model = chosen.model AND window_seconds = {WINDOW}
   ORDER BY window_end DESC LIMIT 1) AS latest"""

# One row per model: the worst state of its alerts.
_STATES = f"""\
SELECT model, max({style.ALERT_RANK}) AS rank,
       string_agg(family, ', ' ORDER BY family) FILTER (WHERE state = 'firing') AS firing
  FROM driftline.alert GROUP BY model"""


def fleet(scope: Scope) -> dict[str, Any]:
    """The Fleet dashboard."""
    return board(
        scope.uid,
        "driftline · Fleet",
        "All models: alerts, drift, performance and serving versions.",
        variables=[variables.window(scope)],
        links=variables.links(),
        time=scope.range,
        sections=[
            Section("Now", [models(), firing(), paging(), unjudged(), traffic_now()]),
            Section("Incidents", [incidents()]),
            Section("Models", [overview(), traffic(), drift()]),
            Section("Performance and versions", [performance(), versions()]),
        ],
    )


def models() -> Panel:
    """The number of models."""
    return describe(
        style.figure(stat.Panel()),
        "models",
        "Models",
        "Number of models with a table in the database.",
        table("SELECT count(*) AS models FROM driftline.model"),
        size=(4, 4),
    )


def firing() -> Panel:
    """The number of models with a firing alert."""
    return describe(
        style.figure(stat.Panel()).thresholds(style.from_zero((0, palette.OK), (1, palette.ALARM))),
        "firing",
        "Models with firing alerts",
        "Models with at least one firing alert of any family. Open one in the table below.",
        table("SELECT count(DISTINCT model) AS firing FROM driftline.alert WHERE state = 'firing'"),
        size=(5, 4),
        empty="No alerts yet: the monitors have not judged any window",
    )


def paging() -> Panel:
    """The number of firing alerts with severity page."""
    return describe(
        style.figure(stat.Panel()).thresholds(style.from_zero((0, palette.OK), (1, palette.ALARM))),
        "paging",
        "Firing pages",
        "Firing alerts that notify a person immediately (severity page); all others are tickets.",
        table(
            "SELECT count(*) AS pages FROM driftline.alert"
            " WHERE state = 'firing' AND severity = 'page'"
        ),
        size=(5, 4),
    )


def unjudged() -> Panel:
    """The number of models whose monitors fail."""
    return describe(
        style.figure(stat.Panel()).thresholds(
            style.from_zero((0, palette.OK), (1, palette.BROKEN))
        ),
        "unjudged",
        "Models with failing monitors",
        "Models whose windows cannot be judged. The Pipeline dashboard shows the errors.",
        table(
            "SELECT count(*) AS failing FROM driftline.monitor_progress"
            " WHERE failed_since IS NOT NULL"
        ),
        size=(5, 4),
    )


def traffic_now() -> Panel:
    """Predictions of all models in their last windows, summed."""
    return describe(
        style.figure(stat.Panel()),
        "traffic now",
        "Predictions",
        "Rows in the last judged window of each model, summed over all models.",
        table(f"""\
SELECT sum(latest.rows) AS predictions
  FROM (SELECT name AS model FROM driftline.model) AS chosen
 {_LAST_WINDOW}"""),
        size=(5, 4),
        empty="No window judged yet",
    )


def overview() -> Panel:
    """One row per model."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("model", style.linked("Open model", _OPEN_AT_LAST_WINDOW))
    panel = panel.override_by_name("state", style.pill(*style.ALERTS))
    for name in ("from", "to"):
        panel = panel.override_by_name(name, [DynamicConfigValue("custom.hidden", True)])
    panel = panel.override_by_name("monitor lag", [DynamicConfigValue("unit", "s")])
    return describe(
        panel,
        "overview",
        "Models by alert state",
        f"At most {_MAX_LISTED} models, the worst alert state first: serving version, rows of the "
        "last window (in any time range) and the column with the largest drift in it. "
        "Select a model to open its dashboard.",
        table(f"""\
SELECT chosen.model, coalesce((ARRAY['ok','no data','pending','broken','firing'])[chosen.rank],
       'not monitored') AS state, coalesce(chosen.firing, '') AS firing, serving.version AS version,
       latest.window_end AS "last window", latest.rows, worst."column" AS "worst drift",
       worst.effect, progress.lag_seconds AS "monitor lag",
       coalesce((extract(epoch FROM latest.window_end - interval '7 days') * 1000)::bigint::text,
                'now-7d') AS "from",
       coalesce((extract(epoch FROM latest.window_end) * 1000)::bigint::text, 'now') AS "to"
  FROM (SELECT name AS model, rank, firing FROM driftline.model
          LEFT JOIN ({_STATES}) AS states ON states.model = model.name
         ORDER BY rank DESC NULLS LAST, name LIMIT {_MAX_LISTED}) AS chosen
  LEFT JOIN LATERAL (
    SELECT window_end, rows FROM driftline.judged_window
     WHERE model = chosen.model AND window_seconds = {WINDOW}
     ORDER BY window_end DESC LIMIT 1) AS latest ON true
  LEFT JOIN LATERAL (
    SELECT "column", effect FROM driftline.verdict
     WHERE model = chosen.model AND window_seconds = {WINDOW} AND window_end = latest.window_end
       AND family = 'drift' AND effect IS NOT NULL
     ORDER BY abs(effect) DESC LIMIT 1) AS worst ON true
  LEFT JOIN LATERAL (
    SELECT version FROM driftline.promotion
     WHERE model = chosen.model AND kind <> 'refused' ORDER BY id DESC LIMIT 1
  ) AS serving ON true
  LEFT JOIN driftline.monitor_progress AS progress ON progress.model = chosen.model
 ORDER BY chosen.rank DESC NULLS LAST, abs(worst.effect) DESC NULLS LAST, chosen.model"""),
        size=(24, 9),
        empty="No models yet: run 'driftline migrate' to create their tables",
    )


def traffic() -> Panel:
    """Rows per window of the models with the most traffic."""
    return describe(
        style.stacked(timeseries.Panel()),
        "traffic",
        "Traffic",
        f"Predictions per window, of the {_MAX_DRAWN} models with the most in their last window. "
        "After a sudden drop, check the Pipeline dashboard.",
        Query(f"""\
SELECT $__timeGroup(judged.window_end, $__interval) AS time, chosen.model AS metric,
       avg(judged.rows) AS predictions
  FROM (SELECT chosen.model, latest.rows
          FROM (SELECT name AS model FROM driftline.model) AS chosen
         {_LAST_WINDOW}
         ORDER BY latest.rows DESC LIMIT {_MAX_DRAWN}) AS chosen
 CROSS JOIN LATERAL (
    SELECT window_end, rows FROM driftline.judged_window
     WHERE model = chosen.model AND window_seconds = {WINDOW} AND $__timeFilter(window_end)
   ) AS judged
 GROUP BY 1, 2 ORDER BY 1, 2"""),
        size=(12, 9),
        empty="No window in this range: the table above shows the last window of each model",
    )


def drift() -> Panel:
    """The columns in alarm in the last window of each model."""
    return describe(
        style.ranking(barchart.Panel()).unit("none").decimals(1),
        "drift",
        "Largest drift by column",
        "Columns in alarm in the last window of their model, by effect: the change in standard "
        "deviations of the null distribution. To inspect one, open its model.",
        table(f"""\
SELECT chosen.model || ' · ' || worst."column" AS "column", worst.effect
  FROM (SELECT name AS model FROM driftline.model) AS chosen
 {_LAST_WINDOW}
 CROSS JOIN LATERAL (
    SELECT "column", max(abs(effect)) AS effect FROM driftline.verdict
     WHERE model = chosen.model AND window_end = latest.window_end AND status = 'alarm'
       AND window_seconds = {WINDOW} AND family = 'drift' AND segment = ''
     GROUP BY 1) AS worst
 WHERE worst.effect IS NOT NULL
 ORDER BY worst.effect DESC LIMIT 15"""),
        size=(12, 9),
        empty="No column is in alarm in the last window of its model",
    )


def incidents() -> Panel:
    """The open incidents."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("model", style.linked("Open model", _OPEN_MODEL))
    panel = panel.override_by_name("severity", style.pill(*style.SEVERITIES))
    return describe(
        panel,
        "incidents",
        "Open incidents",
        "Unresolved incidents, pages first, including silenced and acknowledged ones.",
        table("""\
SELECT model, severity, family, since, last, summary,
       coalesce(acknowledged_by, '') AS acknowledged
  FROM driftline.incident WHERE resolved_at IS NULL
 ORDER BY severity, opened_at DESC LIMIT 100"""),
        size=(24, 8),
        empty="No open incidents",
    )


def performance() -> Panel:
    """The latest performance of each model, from labels or estimates."""
    panel = style.listing(table_panel.Panel()).override_by_name(
        "status", style.pill(*style.STATUSES)
    )
    return describe(
        panel,
        "performance",
        "Performance",
        "Latest performance verdicts of each model, realised (from labels) or estimated.",
        table(f"""\
SELECT chosen.model, last.monitor AS metric, last.value, last.expected, last.threshold,
       last.rows, last.status, last.window_end AS window
  FROM (SELECT name AS model FROM driftline.model ORDER BY name LIMIT {_MAX_LISTED}) AS chosen
 {_LAST_WINDOW}
 CROSS JOIN LATERAL (
    SELECT DISTINCT ON (monitor) monitor, value, expected, threshold, rows, status, window_end
      FROM driftline.verdict
     WHERE model = chosen.model AND window_seconds = {WINDOW} AND family = 'performance'
       AND window_end > latest.window_end - make_interval(secs => 30 * {WINDOW}::int)
       AND window_end <= latest.window_end AND value IS NOT NULL AND segment = ''
     ORDER BY monitor, window_end DESC) AS last
 ORDER BY last.status = 'alarm' DESC, chosen.model, last.monitor"""),
        size=(12, 9),
        empty="No performance verdicts yet: configure labels (models.NAME.labels)",
    )


def versions() -> Panel:
    """The latest decisions about versions."""
    panel = style.listing(table_panel.Panel()).override_by_name(
        "decision", style.pill(*style.DECISIONS)
    )
    return describe(
        panel,
        "versions",
        "Version decisions",
        "Promotions, rollbacks and refusals for all models, newest first.",
        table("""\
SELECT decided_at AS time, model, version, previous, kind AS decision, decided_by AS "by"
  FROM driftline.promotion ORDER BY id DESC LIMIT 50"""),
        size=(12, 9),
        empty="No version promoted yet: run 'driftline models promote'",
    )


_OPEN_AT_LAST_WINDOW = (
    f"/d/{names.MODELS_UID}?var-model=${{__value.text:percentencode}}"
    "&from=${__data.fields.from}&to=${__data.fields.to}"
)
_OPEN_MODEL = (
    f"/d/{names.MODELS_UID}?var-model=${{__value.text:percentencode}}&${{__url_time_range}}"
)
