"""What the model predicts."""

from grafana_foundation_sdk.builders import heatmap, timeseries

from driftline import names
from driftline.dashboards.definitions.sections.histogram import by_time
from driftline.dashboards.panels import style
from driftline.dashboards.panels.board import Panel, Query, describe
from driftline.dashboards.panels.scope import SEGMENT, VERSIONS, Scope


def panels(scope: Scope) -> list[Panel]:
    """The section."""
    return [distribution(scope), quantiles(scope)]


def distribution(scope: Scope) -> Panel:
    """All scores over time."""
    return describe(
        style.cells(heatmap.Panel()),
        "score distribution",
        "Score distribution",
        "Share of the predictions of each window in each bin of the score, from the lowest bin up. "
        "The bins have equal mass in the reference: an even column is what was trained on.",
        by_time(scope, names.SCORE),
        size=(12, 9),
        empty="No window judged in this range",
    )


def quantiles(scope: Scope) -> Panel:
    """Mean, median, upper end."""
    return describe(
        style.lines(timeseries.Panel()).decimals(3),
        "score quantiles",
        "Score: mean, median, p95",
        "Of each window, weighted by the rows of the versions that served it.",
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
