"""How long predictions take, compared with the objective."""

from grafana_foundation_sdk.builders import heatmap, timeseries

from driftline import names
from driftline.dashboards.definitions.sections.histogram import by_time
from driftline.dashboards.panels import palette, style
from driftline.dashboards.panels.board import Panel, Query, coloured, describe
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.panels.scope import SEGMENT, VERSIONS, Scope


def panels(scope: Scope) -> list[Panel]:
    """The panels of the section."""
    return [inference(scope), distribution(scope), lag(scope)]


def inference(scope: Scope) -> Panel:
    """Percentiles of the inference time, and the objective."""
    panel = style.lines(timeseries.Panel()).unit("ms")
    dashed = {"fill": "dash", "dash": [8, 6]}
    panel = panel.override_by_name(
        *coloured("objective", palette.ALARM, lineStyle=dashed, fillOpacity=0, lineWidth=1)
    )
    return describe(
        panel,
        "inference",
        "Inference time",
        "Percentiles per window, of the slowest version. Dashed: the objective "
        "(monitors.latency.inference), if configured.",
        Query(_percentiles(scope, names.INFERENCE_MS)),
        *([Query(_objective(scope))] if scope.limits else []),
        size=(8, 9),
        empty="No window judged in this range",
    )


def distribution(scope: Scope) -> Panel:
    """The distribution of the inference time over time."""
    return describe(
        style.cells(heatmap.Panel(), "Oranges"),
        "inference distribution",
        "Inference time distribution",
        "Share of each window's predictions by inference time, in ms. The bin with the objective "
        "(monitors.latency.inference), if configured, is marked.",
        by_time(scope, names.INFERENCE_MS, _limit(scope) if scope.limits else None),
        size=(8, 9),
        empty="No window judged in this range",
    )


def lag(scope: Scope) -> Panel:
    """The lag from the broker to the score."""
    return describe(
        style.lines(timeseries.Panel()).unit("short").axis_label("seconds"),
        "lag",
        "End-to-end lag",
        "Time from the Kafka timestamp of a message to its score, percentiles per window. In a "
        "replay it includes the age of the messages.",
        Query(_percentiles(scope, names.LAG_MS, per_unit=1_000)),
        size=(8, 9),
        empty="No window judged in this range",
    )


def _percentiles(scope: Scope, column: str, per_unit: int = 1) -> str:
    """SQL: percentiles of a column in ms, divided by `per_unit`."""
    return f"""\
SELECT $__timeGroup(window_end, $__interval) AS time, max(p50) / {per_unit} AS p50,
       max(p95) / {per_unit} AS p95, max(p99) / {per_unit} AS p99
  FROM driftline.window_stat
 WHERE {scope.windows} AND "column" = '{column}' AND {SEGMENT}
   AND role = '{names.SERVED}' AND {VERSIONS}
 GROUP BY 1 ORDER BY 1"""


def _objective(scope: Scope) -> str:
    """SQL: the objective as a line over the whole time range."""
    return f"""\
SELECT time, "limit" AS objective
  FROM ({_limit(scope)}) AS objective
 CROSS JOIN (VALUES ($__timeFrom()::timestamptz), ($__timeTo()::timestamptz)) AS ends (time)
 ORDER BY 1"""


def _limit(scope: Scope) -> str:
    """SQL: the objective of the model; no row without one."""
    limits = ", ".join(f"({quoted(name)}, {limit})" for name, limit in scope.limits.items())
    return f"""SELECT "limit" FROM (VALUES {limits}) AS objectives (model, "limit")
         WHERE model = {scope.model}"""
