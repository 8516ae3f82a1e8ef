"""How good the predictions are: as labels show, and as estimates say before they come."""

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
    """The section."""
    metric = None if scope.section is None else scope.section.metric
    first = from_windows(scope) if metric is None else from_rows(scope, metric)
    return [first, coverage(scope), verdicts(scope)]


def from_rows(scope: Scope, metric: Metric) -> Panel:
    """The metric from the model's own rows and labels, with its interval."""
    name = _NAMES[metric]
    return describe(
        _banded().max_data_points(realised.POINTS).interval("10m"),
        "realised",
        f"Realised against estimated: {name}",
        f"The {name} of the events of each stretch whose label has come, with a 95 % interval "
        f"for independent events; read from at most {realised.ROWS:,} events a stretch and "
        f"{realised.LABELS:,} labels. Estimated: what the monitors expect without labels.",
        Query(realised.sql(scope, metric)),
        Query(_estimated(scope)),
        size=(16, 9),
        empty="No labels of these events yet, and no monitor that estimates without them",
    )


def from_windows(scope: Scope) -> Panel:
    """The metric as the monitors measured it, for whichever model is chosen."""
    return describe(
        _banded(),
        "realised",
        "Realised against estimated",
        "The model's metric in each window as labels show it, with a 95 % interval for independent "
        "events. Estimated: what the monitors expect without labels. A page of the model's own "
        "(models.NAME.dashboard: own) computes it from rows, for stretches of any length.",
        Query(_measured(scope)),
        Query(_estimated(scope)),
        size=(16, 9),
        empty="No labels of these events yet, and no monitor that estimates without them",
    )


def _banded() -> timeseries.Panel:
    """Lines of what is realised and estimated, and the interval around the first."""
    hidden = {"lineWidth": 0, "fillOpacity": 0, "showPoints": "never"}
    band = {**hidden, "fillBelowTo": "low", "fillOpacity": 22}
    panel = style.lines(timeseries.Panel()).decimals(3)
    panel = panel.override_by_name(*coloured("realised", palette.SERVED, fillOpacity=0))
    panel = panel.override_by_name(*coloured("high", palette.SERVED, **band))
    panel = panel.override_by_name(*coloured("low", palette.SERVED, **hidden))
    return panel.override_by_name(*coloured("estimated", palette.PENDING, fillOpacity=0))


def verdicts(scope: Scope) -> Panel:
    """What the monitors found."""
    return describe(
        style.lines(timeseries.Panel()).decimals(3),
        "performance verdicts",
        "Performance by monitor",
        "Value of each performance monitor in each window, and what its reference had.",
        Query(f"""\
SELECT $__timeGroup(window_end, $__interval) AS time, series AS metric, avg(number) AS value
  FROM driftline.verdict
 CROSS JOIN LATERAL (VALUES (monitor, value), (monitor || ' (reference)', expected))
       AS shown (series, number)
 WHERE {scope.windows} AND {_WINDOWS} AND number IS NOT NULL
 GROUP BY 1, 2 ORDER BY 1, 2"""),
        size=(24, 9),
        empty="No monitor measures or estimates the performance of this model yet: labels "
        "(models.NAME.labels) are needed",
    )


def coverage(scope: Scope) -> Panel:
    """How many events have their label."""
    panel = style.lines(timeseries.Panel()).unit("percentunit").min(0).max(1)
    return describe(
        panel,
        "coverage",
        "Label coverage",
        "Share of each window's predictions whose label had come when the window was judged last. "
        "What is young is still incomplete. Of a window with more than "
        f"{LABELS:,} events a sample of so many is looked at.",
        Query(f"""\
SELECT $__timeGroup(window_end, $__interval) AS time,
       sum(labelled)::float8 / nullif(sum(least(rows, {LABELS})), 0) AS coverage
  FROM (SELECT window_end, max(rows) AS labelled FROM driftline.verdict
         WHERE {scope.windows} AND family = 'performance' AND segment = ''
           AND monitor NOT LIKE '%estimate%'
         GROUP BY 1) AS found
 CROSS JOIN LATERAL (
    SELECT rows FROM driftline.judged_window
     WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = found.window_end
     LIMIT 1) AS judged
 GROUP BY 1 ORDER BY 1"""),
        size=(8, 9),
        empty="No labels have been judged yet",
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
