"""Segments of the traffic compared with all rows."""

from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.builders import timeseries

from driftline import names
from driftline.dashboards.panels import style
from driftline.dashboards.panels.board import Panel, Query, describe, table
from driftline.dashboards.panels.scope import VERSIONS, WINDOW, Scope

_MAX_SEGMENTS = 12
_NONE = "No segments: list columns in models.NAME.segments"


def panels(scope: Scope) -> list[Panel]:
    """The panels of the section."""
    return [scores(scope), segments(scope)]


def scores(scope: Scope) -> Panel:
    """The mean score of each segment."""
    return describe(
        style.lines(timeseries.Panel()).decimals(3),
        "segment scores",
        "Mean score by segment",
        f"Mean score per window, of the {_MAX_SEGMENTS} segments with the most rows in the time "
        "range.",
        Query(f"""\
WITH means AS MATERIALIZED (
  SELECT $__timeGroup(window_end, $__interval) AS time, segment, sum(rows) AS rows,
         sum(mean * rows) / nullif(sum(rows), 0) AS mean
    FROM driftline.window_stat
   WHERE {scope.windows} AND "column" = '{names.SCORE}' AND segment <> ''
     AND role = '{names.SERVED}' AND {VERSIONS}
   GROUP BY 1, 2)
SELECT time, segment AS metric, mean
  FROM means JOIN (SELECT segment FROM means GROUP BY 1 ORDER BY sum(rows) DESC, 1
                   LIMIT {_MAX_SEGMENTS}) AS listed USING (segment)
 ORDER BY 1, 2"""),
        size=(12, 9),
        empty=_NONE,
    )


def segments(scope: Scope) -> Panel:
    """All segments in the last window."""
    panel = style.listing(table_panel.Panel()).override_by_name("share", style.bar())
    return describe(
        panel,
        "segments",
        "Segments in the last window",
        "Rows, mean score, its difference to that of all rows, and alarms in the last window.",
        table(f"""\
SELECT stat.segment, sum(stat.rows) AS rows,
       sum(stat.rows) / nullif(max(whole.rows), 0)::float8 AS share,
       sum(stat.mean * stat.rows) / nullif(sum(stat.rows), 0) AS "mean score",
       sum(stat.mean * stat.rows) / nullif(sum(stat.rows), 0) - max(whole.mean) AS "vs all rows",
       coalesce(max(alarm.alarms), 0) AS alarms
  FROM driftline.window_stat AS stat
 CROSS JOIN (SELECT sum(rows) AS rows, sum(mean * rows) / nullif(sum(rows), 0) AS mean
               FROM driftline.window_stat
              WHERE model = {scope.model} AND window_seconds = {WINDOW}
                AND window_end = {scope.last} AND "column" = '{names.SCORE}' AND segment = ''
                AND role = '{names.SERVED}') AS whole
  LEFT JOIN (SELECT segment, count(*) AS alarms FROM driftline.verdict
              WHERE model = {scope.model} AND window_seconds = {WINDOW}
                AND window_end = {scope.last} AND status = 'alarm'
              GROUP BY 1) AS alarm ON alarm.segment = stat.segment
 WHERE stat.model = {scope.model} AND stat.window_seconds = {WINDOW}
   AND stat.window_end = {scope.last} AND stat."column" = '{names.SCORE}'
   AND stat.segment <> '' AND stat.role = '{names.SERVED}'
 GROUP BY 1 ORDER BY 2 DESC"""),
        size=(12, 9),
        empty=_NONE,
    )
