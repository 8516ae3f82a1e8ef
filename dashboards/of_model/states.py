"""State timelines: what each window was, from its start to its end."""

from dashboards.board import Query
from dashboards.macros import quoted
from dashboards.scope import WINDOW

_WINDOW = f"make_interval(secs => {WINDOW}::int)"


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
