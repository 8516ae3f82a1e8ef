"""Whether the data is what the model expects."""

from grafana_foundation_sdk.builders import statetimeline, timeseries
from grafana_foundation_sdk.builders import table as table_panel

from driftline import names
from driftline.dashboards.definitions.sections import states
from driftline.dashboards.panels import style
from driftline.dashboards.panels.board import Panel, Query, describe, table
from driftline.dashboards.panels.scope import SEGMENT, WINDOW, Scope

_MAX_COLUMNS = 12  # in a chart
_NO_VERDICT = "No quality verdict in this range"


def panels(scope: Scope) -> list[Panel]:
    """The panels of the section."""
    return [missing(scope), timeline(scope), columns(scope)]


def missing(scope: Scope) -> Panel:
    """The columns with the most missing values."""
    return describe(
        style.lines(timeseries.Panel()).unit("percentunit").min(0),
        "missing",
        "Missing and invalid values",
        f"Share of missing, NaN or infinite values per window, of the {_MAX_COLUMNS} columns with "
        "the largest share in the time range.",
        Query(f"""\
WITH shares AS MATERIALIZED (
  SELECT $__timeGroup(window_end, $__interval) AS time, "column",
         sum(missing + invalid)::float8 / nullif(sum(rows), 0) AS share
    FROM driftline.window_stat
   WHERE {scope.windows} AND {SEGMENT} AND role = '{names.SERVED}'
   GROUP BY 1, 2)
SELECT time, "column" AS metric, share
  FROM shares JOIN (SELECT "column" FROM shares GROUP BY 1 ORDER BY max(share) DESC, 1
                   LIMIT {_MAX_COLUMNS}) AS listed USING ("column")
 ORDER BY 1, 2"""),
        size=(12, 9),
        empty="No window judged in this range",
    )


def timeline(scope: Scope) -> Panel:
    """The data quality verdicts of each column."""
    return describe(
        style.timeline(statetimeline.Panel()),
        "quality timeline",
        "Quality by column",
        f"The worst verdict of the data quality monitors in each window, for the {_MAX_COLUMNS} "
        "columns with the most alarms.",
        states.of_columns(scope, "quality", _MAX_COLUMNS, _NO_VERDICT),
        size=(12, 9),
        empty=_NO_VERDICT,
    )


def columns(scope: Scope) -> Panel:
    """All columns in the last window."""
    panel = style.listing(table_panel.Panel())
    for name in ("missing", "invalid"):
        panel = panel.override_by_name(name, style.bar())
    return describe(
        panel,
        "columns",
        "Columns in the last window",
        "Rows, missing and invalid values and location of each column in the last judged window.",
        table(f"""\
SELECT "column", sum(rows) AS rows, sum(missing)::float8 / nullif(sum(rows), 0) AS missing,
       sum(invalid)::float8 / nullif(sum(rows), 0) AS invalid, avg(mean) AS mean,
       avg(p50) AS median, avg(p95) AS p95
  FROM driftline.window_stat
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND window_end = {scope.last}
   AND {SEGMENT} AND role = '{names.SERVED}'
 GROUP BY 1 ORDER BY 3 DESC NULLS LAST, 1"""),
        size=(24, 9),
        empty="No window judged in this range",
    )
