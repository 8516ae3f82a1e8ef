"""Queries of state timelines: the state of each window, from its start to its end."""

from driftline.dashboards.panels import style
from driftline.dashboards.panels.board import Query
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.panels.scope import SEGMENT, WINDOW, Scope

_WINDOW = f"make_interval(secs => {WINDOW}::int)"


def of_columns(scope: Scope, family: str, limit: int, empty: str) -> Query:
    """The worst verdict of a family for each column, of the columns with the most alarms.

    Parameters:
        limit: maximum number of columns, so that their names are readable.
        empty: see `by_window`.
    """
    return by_window(
        f"""\
WITH verdicts AS MATERIALIZED (
  SELECT window_end, CASE "column" WHEN '' THEN 'all columns' ELSE "column" END AS metric, status
    FROM driftline.verdict WHERE {scope.windows} AND family = {quoted(family)} AND {SEGMENT})
SELECT window_end, metric, {style.RANK} AS status
  FROM verdicts JOIN (SELECT metric FROM verdicts GROUP BY 1
                       ORDER BY count(*) FILTER (WHERE status = 'alarm') DESC, 1
                       LIMIT {limit}) AS listed USING (metric)""",
        empty,
    )


def by_window(verdicts: str, empty: str) -> Query:
    """The states of windows, one series per metric.

    Grafana draws a state until the next one, or to the end of the time range: a NULL ends it with
    its window. There is always at least one row, because Grafana shows an error without any.

    Parameters:
        verdicts: SQL with the columns window_end, metric and status (as a rank).
        empty: the name of the only series when there are no verdicts.
    """
    return Query(f"""\
WITH windows AS MATERIALIZED (
  SELECT window_end - {_WINDOW} AS start, metric, status
    FROM ({verdicts}) AS verdicts),
drawn AS (
  SELECT $__timeGroup(start, $__interval) AS time, metric, max(status) AS status
    FROM windows GROUP BY 1, 2),
ended AS (
  SELECT time + greatest('$__interval'::interval, {_WINDOW}) AS time, metric,
         lead(time) OVER (PARTITION BY metric ORDER BY time) AS following FROM drawn)
SELECT time, metric, status FROM drawn
 UNION ALL
SELECT time, metric, NULL FROM ended WHERE following IS NULL OR following > time
 UNION ALL
SELECT $__timeTo()::timestamptz, {quoted(empty)}, NULL WHERE NOT EXISTS (SELECT FROM drawn)
 ORDER BY 1, 2""")
