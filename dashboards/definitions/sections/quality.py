"""Whether the data are what the model expects."""

from grafana_foundation_sdk.builders import statetimeline, timeseries
from grafana_foundation_sdk.builders import table as table_panel

from driftline import names
from driftline.dashboards.definitions.sections import states
from driftline.dashboards.panels import style
from driftline.dashboards.panels.board import Panel, Query, describe, table
from driftline.dashboards.panels.scope import SEGMENT, WINDOW, Scope

_COLUMNS = 12
_STRIPES = 12  # columns of the timeline, whose names can be read
_NO_VERDICT = "No quality verdict in this range"


def panels(scope: Scope) -> list[Panel]:
    """The section."""
    return [missing(scope), timeline(scope), columns(scope)]


def missing(scope: Scope) -> Panel:
    """Missing values of the columns that lack most."""
    return describe(
        style.lines(timeseries.Panel()).unit("percentunit").min(0),
        "missing",
        "Missing and invalid values",
        f"Share of missing, NaN or infinite values in each window, of the {_COLUMNS} columns that "
        "lack most in the range.",
        Query(f"""\
WITH seen AS MATERIALIZED (
  SELECT $__timeGroup(window_end, $__interval) AS time, "column",
         sum(missing + invalid)::float8 / nullif(sum(rows), 0) AS share
    FROM driftline.window_stat
   WHERE {scope.windows} AND {SEGMENT} AND role = '{names.SERVED}'
   GROUP BY 1, 2)
SELECT time, "column" AS metric, share
  FROM seen JOIN (SELECT "column" FROM seen GROUP BY 1 ORDER BY max(share) DESC, 1
                   LIMIT {_COLUMNS}) AS listed USING ("column")
 ORDER BY 1, 2"""),
        size=(12, 9),
        empty="No window judged in this range",
    )


def timeline(scope: Scope) -> Panel:
    """Verdicts on quality."""
    return describe(
        style.timeline(statetimeline.Panel()),
        "quality timeline",
        "Quality of each column",
        f"The worst verdict of the data quality monitors in each window; of more than {_STRIPES} "
        "columns those with most alarms.",
        states.of_columns(scope, "quality", _STRIPES, _NO_VERDICT),
        size=(12, 9),
        empty=_NO_VERDICT,
    )


def columns(scope: Scope) -> Panel:
    """Every column in the last window."""
    panel = style.listing(table_panel.Panel())
    for name in ("missing", "invalid"):
        panel = panel.override_by_name(name, style.bar())
    return describe(
        panel,
        "columns",
        "Columns in the last window",
        "What each column held in the last judged window of the range.",
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
