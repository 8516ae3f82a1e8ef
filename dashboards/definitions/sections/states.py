"""State timelines: what each window was, from its start to its end."""

from driftline.dashboards.panels import style
from driftline.dashboards.panels.board import Query
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.panels.scope import SEGMENT, WINDOW, Scope

_WINDOW = f"make_interval(secs => {WINDOW}::int)"


def of_columns(scope: Scope, family: str, most: int, empty: str) -> Query:
    """The worst verdict of a family on each column, of those with most alarms.

    Parameters:
        most: how many, so that their names can be read.
        empty: as of `by_window`.
    """
    return by_window(
        f"""\
WITH found AS MATERIALIZED (
  SELECT window_end, CASE "column" WHEN '' THEN 'all together' ELSE "column" END AS look, status
    FROM driftline.verdict WHERE {scope.windows} AND family = {quoted(family)} AND {SEGMENT})
SELECT window_end, look AS metric, {style.RANK} AS status
  FROM found JOIN (SELECT look FROM found GROUP BY 1
                    ORDER BY count(*) FILTER (WHERE status = 'alarm') DESC, 1
                    LIMIT {most}) AS listed USING (look)""",
        empty,
    )


def by_window(verdicts: str, empty: str) -> Query:
    """The states of windows, a series each.

    Grafana draws a state until the next one, or to the end of the range: a missing value ends it
    where its window does. Without any row its page shows an error, so there is always one.

    Parameters:
        verdicts: SQL of window_end, metric and status as a rank.
        empty: the name of the only series where there are none.
    """
    return Query(f"""\
WITH seen AS MATERIALIZED (
  SELECT window_end - {_WINDOW} AS start, metric, status
    FROM ({verdicts}) AS verdicts),
drawn AS (
  SELECT $__timeGroup(start, $__interval) AS time, metric, max(status) AS status
    FROM seen GROUP BY 1, 2),
ended AS (
  SELECT time + greatest('$__interval'::interval, {_WINDOW}) AS time, metric,
         lead(time) OVER (PARTITION BY metric ORDER BY time) AS following FROM drawn)
SELECT time, metric, status FROM drawn
 UNION ALL
SELECT time, metric, NULL FROM ended WHERE following IS NULL OR following > time
 UNION ALL
SELECT $__timeTo()::timestamptz, {quoted(empty)}, NULL WHERE NOT EXISTS (SELECT FROM drawn)
 ORDER BY 1, 2""")
