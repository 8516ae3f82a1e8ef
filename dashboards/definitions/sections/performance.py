"""How good the predictions are: realised from labels, or estimated before labels arrive."""

from grafana_foundation_sdk.builders import timeseries

from driftline.config import Metric
from driftline.config.monitors import LABELS
from driftline.dashboards.definitions.sections import realised
from driftline.dashboards.panels import palette, style
from driftline.dashboards.panels.board import Panel, Query, coloured, describe
from driftline.dashboards.panels.scope import SEGMENT, WINDOW, Scope

_NAMES: dict[Metric, str] = {
    "auc": "AUC",
    "brier": "Brier score",
    "log_loss": "log loss",
    "mae": "mean absolute error",
    "rmse": "RMSE",
}
_WINDOWS = f"family = 'performance' AND {SEGMENT}"


def panels(scope: Scope) -> list[Panel]:
    """The panels of the section."""
    metric = None if scope.section is None else scope.section.metric
    first = from_windows(scope) if metric is None else from_rows(scope, metric)
    return [first, coverage(scope), verdicts(scope)]


def from_rows(scope: Scope, metric: Metric) -> Panel:
    """The metric from the model's rows and labels, with its confidence interval."""
    name = _NAMES[metric]
    return describe(
        _banded().max_data_points(realised.POINTS).interval("10m"),
        "realised",
        f"Realised and estimated: {name}",
        f"Realised: {name} of the labelled events in each time interval, with a 95 % confidence "
        f"interval for independent events, from at most {realised.ROWS:,} events per interval and "
        f"{realised.LABELS:,} labels. Estimated: what the monitors expect without labels.",
        Query(realised.sql(scope, metric)),
        Query(_estimated(scope)),
        size=(16, 9),
        empty="No labels for these events yet, and no estimate without labels",
    )


def from_windows(scope: Scope) -> Panel:
    """The metric as measured by the monitors, for any selected model."""
    return describe(
        _banded(),
        "realised",
        "Realised and estimated",
        "Realised: the model's metric in each window from labels, with a 95 % confidence "
        "interval for independent events. Estimated: what the monitors expect without labels. "
        "For time intervals of any length, give the model its own dashboard "
        "(models.NAME.dashboard: own).",
        Query(_measured(scope)),
        Query(_estimated(scope)),
        size=(16, 9),
        empty="No labels for these events yet, and no estimate without labels",
    )


def _banded() -> timeseries.Panel:
    """Lines of the realised and the estimated metric, and the interval around the former."""
    hidden = {"lineWidth": 0, "fillOpacity": 0, "showPoints": "never"}
    band = {**hidden, "fillBelowTo": "low", "fillOpacity": 22}
    panel = style.lines(timeseries.Panel()).decimals(3)
    panel = panel.override_by_name(*coloured("realised", palette.SERVED, fillOpacity=0))
    panel = panel.override_by_name(*coloured("high", palette.SERVED, **band))
    panel = panel.override_by_name(*coloured("low", palette.SERVED, **hidden))
    return panel.override_by_name(*coloured("estimated", palette.PENDING, fillOpacity=0))


def verdicts(scope: Scope) -> Panel:
    """The performance verdicts."""
    return describe(
        style.lines(timeseries.Panel()).decimals(3),
        "performance verdicts",
        "Performance by monitor",
        "Value of each performance monitor per window, and its value in the reference. After a "
        "lasting drop, roll back the version or retrain the model.",
        Query(f"""\
SELECT $__timeGroup(window_end, $__interval) AS time, series AS metric, avg(number) AS value
  FROM driftline.verdict
 CROSS JOIN LATERAL (VALUES (monitor, value), (monitor || ' (reference)', expected))
       AS shown (series, number)
 WHERE {scope.windows} AND {_WINDOWS} AND number IS NOT NULL
 GROUP BY 1, 2 ORDER BY 1, 2"""),
        size=(24, 9),
        empty="No performance verdicts for this model yet: configure labels (models.NAME.labels)",
    )


def coverage(scope: Scope) -> Panel:
    """The share of events with a label."""
    panel = style.lines(timeseries.Panel()).unit("percentunit").min(0).max(1)
    return describe(
        panel,
        "coverage",
        "Label coverage",
        "Share of each window's predictions that had a label when the window was last judged. "
        "Recent windows are incomplete, because labels arrive late. Of windows with more events, "
        f"a sample of {LABELS:,} is checked.",
        Query(f"""\
SELECT $__timeGroup(window_end, $__interval) AS time,
       sum(labelled)::float8 / nullif(sum(least(rows, {LABELS})), 0) AS coverage
  FROM (SELECT window_end, max(rows) AS labelled FROM driftline.verdict
         WHERE {scope.windows} AND family = 'performance' AND segment = ''
           AND monitor NOT LIKE '%estimate%'
         GROUP BY 1) AS labels
 CROSS JOIN LATERAL (
    SELECT rows FROM driftline.judged_window
     WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = labels.window_end
     LIMIT 1) AS judged
 GROUP BY 1 ORDER BY 1"""),
        size=(8, 9),
        empty="No labels judged yet",
    )


def _estimated(scope: Scope) -> str:
    return f"""\
SELECT $__timeGroup(window_end, $__interval) AS time, avg(value) AS estimated
  FROM driftline.verdict
 WHERE {scope.windows} AND {_WINDOWS} AND monitor LIKE '%estimate%' AND value IS NOT NULL
 GROUP BY 1 ORDER BY 1"""


def _measured(scope: Scope) -> str:
    return f"""\
SELECT $__timeGroup(window_end, $__interval) AS time, avg(value) AS realised,
       avg(low) AS low, avg(high) AS high
  FROM driftline.verdict
 WHERE {scope.windows} AND {_WINDOWS} AND monitor LIKE 'realised%' AND low IS NOT NULL
 GROUP BY 1 ORDER BY 1"""
