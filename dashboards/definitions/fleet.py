"""The fleet: every model on one page, the ones in trouble first.

Nothing here reads rows or profiles: one row a model and family in `alert`, one a model in
`monitor_progress`, and by index the last windows of each model.
"""

from typing import Any

from grafana_foundation_sdk.builders import barchart, stat, timeseries
from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from driftline import names
from driftline.dashboards.panels import palette, style, variables
from driftline.dashboards.panels.board import Panel, Query, Section, board, describe, table
from driftline.dashboards.panels.scope import WINDOW, Scope

_LISTED = 200  # models in a table, at most; those in trouble come first
_DRAWN = 10  # models in a chart

# The last judged window of each model that is chosen, by the index of judged_window. Whatever the
# range: a page that is opened on the last days must not call a replay of older ones quiet.
_LAST_WINDOW = f"""\
CROSS JOIN LATERAL (
  SELECT window_end, rows FROM driftline.judged_window
   WHERE model = chosen.model AND window_seconds = {WINDOW}
   ORDER BY window_end DESC LIMIT 1) AS latest"""

# One row a model: the worst of its states.
_STATES = f"""\
SELECT model, max({style.ALERT_RANK}) AS rank,
       string_agg(family, ', ' ORDER BY family) FILTER (WHERE state = 'firing') AS firing
  FROM driftline.alert GROUP BY model"""


def fleet(scope: Scope) -> dict[str, Any]:
    """The page."""
    return board(
        scope.uid,
        "driftline · Fleet",
        "All models: who is in trouble, what drifts, what serves.",
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
    """How many there are."""
    return describe(
        style.figure(stat.Panel()),
        "models",
        "Models",
        "Models that have a table in the store.",
        table("SELECT count(*) AS models FROM driftline.model"),
        size=(4, 4),
    )


def firing() -> Panel:
    """Models with a firing alert."""
    return describe(
        style.figure(stat.Panel()).thresholds(style.from_zero((0, palette.OK), (1, palette.ALARM))),
        "firing",
        "Models firing",
        "Models with at least one firing alert, of any family.",
        table("SELECT count(DISTINCT model) AS firing FROM driftline.alert WHERE state = 'firing'"),
        size=(5, 4),
        empty="No alerts yet: the monitors have not judged a window",
    )


def paging() -> Panel:
    """Alerts that wake somebody up."""
    return describe(
        style.figure(stat.Panel()).thresholds(style.from_zero((0, palette.OK), (1, palette.ALARM))),
        "paging",
        "Pages",
        "Firing alerts that page somebody; the others are tickets.",
        table(
            "SELECT count(*) AS pages FROM driftline.alert"
            " WHERE state = 'firing' AND severity = 'page'"
        ),
        size=(5, 4),
    )


def unjudged() -> Panel:
    """Models whose monitors are behind or fail."""
    return describe(
        style.figure(stat.Panel()).thresholds(
            style.from_zero((0, palette.OK), (1, palette.BROKEN))
        ),
        "unjudged",
        "Monitors failing",
        "Models whose windows could not be judged; their error is on the pipeline dashboard.",
        table(
            "SELECT count(*) AS failing FROM driftline.monitor_progress"
            " WHERE failed_since IS NOT NULL"
        ),
        size=(5, 4),
    )


def traffic_now() -> Panel:
    """Predictions of all models in their last windows."""
    return describe(
        style.figure(stat.Panel()),
        "traffic now",
        "Predictions",
        "Sum over all models of the rows in their last judged window.",
        table(f"""\
SELECT sum(latest.rows) AS predictions
  FROM (SELECT name AS model FROM driftline.model) AS chosen
 {_LAST_WINDOW}"""),
        size=(5, 4),
        empty="No window was judged yet",
    )


def overview() -> Panel:
    """One line a model."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("model", style.linked("Open the model", _OPEN_AT_LAST_WINDOW))
    panel = panel.override_by_name("state", style.pill(*style.ALERTS))
    for name in ("from", "to"):
        panel = panel.override_by_name(name, [DynamicConfigValue("custom.hidden", True)])
    panel = panel.override_by_name("monitor lag", [DynamicConfigValue("unit", "s")])
    return describe(
        panel,
        "overview",
        "Models",
        f"The {_LISTED} models in most trouble: worst state of their alerts, version that serves, "
        "rows of the last window, whatever the range, and the column whose drift stands out most "
        "in it.",
        table(f"""\
SELECT chosen.model, coalesce((ARRAY['ok','no data','pending','broken','firing'])[chosen.rank],
       'unwatched') AS state, coalesce(chosen.firing, '') AS firing, serving.version AS version,
       latest.window_end AS "last window", latest.rows, worst.look AS "worst drift",
       worst.effect, progress.lag_seconds AS "monitor lag",
       coalesce((extract(epoch FROM latest.window_end - interval '7 days') * 1000)::bigint::text,
                'now-7d') AS "from",
       coalesce((extract(epoch FROM latest.window_end) * 1000)::bigint::text, 'now') AS "to"
  FROM (SELECT name AS model, rank, firing FROM driftline.model
          LEFT JOIN ({_STATES}) AS states ON states.model = model.name
         ORDER BY rank DESC NULLS LAST, name LIMIT {_LISTED}) AS chosen
  LEFT JOIN LATERAL (
    SELECT window_end, rows FROM driftline.judged_window
     WHERE model = chosen.model AND window_seconds = {WINDOW}
     ORDER BY window_end DESC LIMIT 1) AS latest ON true
  LEFT JOIN LATERAL (
    SELECT "column" AS look, effect FROM driftline.verdict
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
        empty="No models yet: 'driftline migrate' makes their tables",
    )


def traffic() -> Panel:
    """Rows of each window, of the busiest models."""
    return describe(
        style.stacked(timeseries.Panel()),
        "traffic",
        "Traffic",
        f"Predictions in each window, of the {_DRAWN} models that had most in their last one.",
        Query(f"""\
SELECT $__timeGroup(judged.window_end, $__interval) AS time, chosen.model AS metric,
       avg(judged.rows) AS predictions
  FROM (SELECT chosen.model, latest.rows
          FROM (SELECT name AS model FROM driftline.model) AS chosen
         {_LAST_WINDOW}
         ORDER BY latest.rows DESC LIMIT {_DRAWN}) AS chosen
 CROSS JOIN LATERAL (
    SELECT window_end, rows FROM driftline.judged_window
     WHERE model = chosen.model AND window_seconds = {WINDOW} AND $__timeFilter(window_end)
   ) AS judged
 GROUP BY 1, 2 ORDER BY 1, 2"""),
        size=(12, 9),
        empty="No window in this range: the table above says when the last ones were",
    )


def drift() -> Panel:
    """The worst column of each model whose last window alarms."""
    return describe(
        style.ranking(barchart.Panel()).unit("none").decimals(1),
        "drift",
        "Worst drift",
        "Columns in alarm in the last window of their model, by effect: the change in standard "
        "units of what the reference's own windows show.",
        table(f"""\
SELECT chosen.model || ' · ' || worst.look AS "column", worst.effect
  FROM (SELECT name AS model FROM driftline.model) AS chosen
 {_LAST_WINDOW}
 CROSS JOIN LATERAL (
    SELECT "column" AS look, max(abs(effect)) AS effect FROM driftline.verdict
     WHERE model = chosen.model AND window_end = latest.window_end AND status = 'alarm'
       AND window_seconds = {WINDOW} AND family = 'drift' AND segment = ''
     GROUP BY 1) AS worst
 WHERE worst.effect IS NOT NULL
 ORDER BY worst.effect DESC LIMIT 15"""),
        size=(12, 9),
        empty="No column is in alarm in the last window of its model",
    )


def incidents() -> Panel:
    """What is open, and what was closed lately."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("model", style.linked("Open the model", _OPEN_MODEL))
    panel = panel.override_by_name("severity", style.pill(*style.SEVERITIES))
    return describe(
        panel,
        "incidents",
        "Open incidents",
        "Incidents that have not ended, pages first. Silenced and acknowledged ones are shown too.",
        table("""\
SELECT model, severity, family, since, last, summary,
       coalesce(acknowledged_by, '') AS acknowledged
  FROM driftline.incident WHERE resolved_at IS NULL
 ORDER BY severity, opened_at DESC LIMIT 100"""),
        size=(24, 8),
        empty="No open incidents",
    )


def performance() -> Panel:
    """How good the models are, as far as labels or estimates tell."""
    panel = style.listing(table_panel.Panel()).override_by_name(
        "status", style.pill(*style.STATUSES)
    )
    return describe(
        panel,
        "performance",
        "Performance",
        "The latest performance verdict of each model, realised from labels or estimated.",
        table(f"""\
SELECT chosen.model, seen.monitor AS metric, seen.value, seen.expected, seen.threshold,
       seen.rows, seen.status, seen.window_end AS window
  FROM (SELECT name AS model FROM driftline.model ORDER BY name LIMIT {_LISTED}) AS chosen
 {_LAST_WINDOW}
 CROSS JOIN LATERAL (
    SELECT DISTINCT ON (monitor) monitor, value, expected, threshold, rows, status, window_end
      FROM driftline.verdict
     WHERE model = chosen.model AND window_seconds = {WINDOW} AND family = 'performance'
       AND window_end > latest.window_end - make_interval(secs => 30 * {WINDOW}::int)
       AND window_end <= latest.window_end AND value IS NOT NULL AND segment = ''
     ORDER BY monitor, window_end DESC) AS seen
 ORDER BY seen.status = 'alarm' DESC, chosen.model, seen.monitor"""),
        size=(12, 9),
        empty="Nothing measures performance yet: labels (models.NAME.labels) are needed",
    )


def versions() -> Panel:
    """The latest decisions."""
    panel = style.listing(table_panel.Panel()).override_by_name(
        "decision", style.pill(*style.DECISIONS)
    )
    return describe(
        panel,
        "versions",
        "Versions: latest decisions",
        "Promotions, roll-backs and refusals of all models, the latest first.",
        table("""\
SELECT decided_at AS time, model, version, previous, kind AS decision, decided_by AS "by"
  FROM driftline.promotion ORDER BY id DESC LIMIT 50"""),
        size=(12, 9),
        empty="No version was promoted yet: 'driftline models promote'",
    )


_OPEN_AT_LAST_WINDOW = (
    f"/d/{names.MODELS_UID}?var-model=${{__value.text:percentencode}}"
    "&from=${__data.fields.from}&to=${__data.fields.to}"
)
_OPEN_MODEL = (
    f"/d/{names.MODELS_UID}?var-model=${{__value.text:percentencode}}&${{__url_time_range}}"
)
