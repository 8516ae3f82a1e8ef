"""The scores of the model."""

from grafana_foundation_sdk.builders import heatmap, timeseries

from driftline import names
from driftline.dashboards.definitions.sections.histogram import by_time
from driftline.dashboards.panels import style
from driftline.dashboards.panels.board import Panel, Query, describe
from driftline.dashboards.panels.scope import SEGMENT, VERSIONS, Scope


def panels(scope: Scope) -> list[Panel]:
    """The panels of the section."""
    return [distribution(scope), quantiles(scope)]


def distribution(scope: Scope) -> Panel:
    """The score distribution over time."""
    return describe(
        style.cells(heatmap.Panel()),
        "score distribution",
        "Score distribution",
        "Share of each window's predictions by score bin, the lowest at the bottom. The bins "
        "have equal mass in the reference, so an even column means the same distribution as in "
        "training.",
        by_time(scope, names.SCORE),
        size=(12, 9),
        empty="No window judged in this range",
    )


def quantiles(scope: Scope) -> Panel:
    """Mean, median and 95th percentile of the score."""
    return describe(
        style.lines(timeseries.Panel()).decimals(3),
        "score quantiles",
        "Score: mean, median, p95",
        "Per window, weighted by the rows of each serving version.",
        Query(f"""\
SELECT $__timeGroup(window_end, $__interval) AS time,
       sum(mean * rows) / nullif(sum(rows) FILTER (WHERE mean IS NOT NULL), 0) AS mean,
       sum(p50 * rows) / nullif(sum(rows) FILTER (WHERE p50 IS NOT NULL), 0) AS median,
       sum(p95 * rows) / nullif(sum(rows) FILTER (WHERE p95 IS NOT NULL), 0) AS p95
  FROM driftline.window_stat
 WHERE {scope.windows} AND "column" = '{names.SCORE}' AND {SEGMENT}
   AND role = '{names.SERVED}' AND {VERSIONS}
 GROUP BY 1 ORDER BY 1"""),
        size=(12, 9),
        empty="No window judged in this range",
    )
