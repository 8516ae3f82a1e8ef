"""Queries of the bins of a column: over time, and now compared with the reference."""

from driftline import names
from driftline.dashboards.panels.board import Query, table
from driftline.dashboards.panels.macros import quoted
from driftline.dashboards.panels.scope import COLUMN, SEGMENT, VERSIONS, WINDOW, Scope

EMPTY = "No window judged in this range"
# Grafana sorts series by name: the bin's number precedes its label, in zero-width digits.
_IN_ORDER = "translate(bin::int::bit(9)::text, '01', U&'\\200B\\200C')"
MARK = " ◂ objective"  # suffix of a bin's label; the preview draws a line there


def by_time(scope: Scope, column: str, limit: str | None = None) -> Query:
    """The share of each bin in each window: one series per bin, named so that they sort upwards.

    There is always at least one row, because Grafana shows an error without any.

    Empty bins at both ends are left out: those of latencies reach to an hour.

    Parameters:
        limit: SQL of a number; the bin that contains it is always shown, and marked.
    """
    marked = "false" if limit is None else _contains(limit)
    return Query(f"""\
WITH shown AS (
SELECT time, bin, {_IN_ORDER} || label || CASE WHEN marked THEN '{MARK}' ELSE '' END AS metric,
       count / nullif(sum(count) OVER (PARTITION BY time), 0) AS share
  FROM (SELECT *, {_ends("count > 0 OR marked")}
          FROM (SELECT time, bin, label, count, {marked} AS marked
                  FROM (SELECT $__timeGroup(window_end, $__interval) AS time, bin,
                               min(label) AS label, sum(count)::float8 AS count
                          FROM driftline.window_stat
                         CROSS JOIN LATERAL unnest(labels, counts)
                               WITH ORDINALITY AS cell (label, count, bin)
                         WHERE {scope.windows} AND "column" = '{column}' AND {SEGMENT}
                           AND role = '{names.SERVED}' AND {VERSIONS}
                         GROUP BY 1, 2) AS cells) AS marked_bins) AS trimmed
 WHERE bin BETWEEN low AND high)
SELECT time, metric, share FROM (
  SELECT time, bin, metric, share FROM shown
   UNION ALL
  SELECT $__timeTo()::timestamptz, 0, {quoted(EMPTY)}, NULL
   WHERE NOT EXISTS (SELECT FROM shown)) AS drawn
 ORDER BY time, bin""")


def _contains(limit: str) -> str:
    """SQL: whether a bin contains a number; PostgreSQL parses a label such as [1, 2) as a range."""
    return f"""coalesce(
                       (CASE WHEN label LIKE '[%' THEN label
                             WHEN label LIKE '< %' THEN '(,' || substr(label, 3) || ')'
                             WHEN label LIKE '>= %' THEN '[' || substr(label, 4) || ',)'
                         END)::numrange @> ({limit})::numeric, false)"""


def against_reference(scope: Scope) -> Query:
    """Shares of the bins of the selected column, in the reference and in the last window."""
    return table(f"""\
SELECT label AS "value", reference, current
  FROM (SELECT *, {_ends("current > 0 OR reference > 0")}
          FROM (SELECT bin, label, avg(reference) AS reference,
                       sum(count) / nullif(sum(sum(count)) OVER (), 0) AS current
                  FROM driftline.window_stat
                 CROSS JOIN LATERAL unnest(labels, counts, reference_shares)
                       WITH ORDINALITY AS cell (label, count, reference, bin)
                 WHERE model = {scope.model} AND window_seconds = {WINDOW}
                   AND window_end = {scope.last} AND "column" = {COLUMN} AND {SEGMENT}
                   AND role = '{names.SERVED}' AND {VERSIONS}
                 GROUP BY bin, label) AS cells) AS trimmed
 WHERE bin BETWEEN low AND high
 ORDER BY bin""")


def _ends(filled: str) -> str:
    return (
        f"min(bin) FILTER (WHERE {filled}) OVER () AS low,"
        f" max(bin) FILTER (WHERE {filled}) OVER () AS high"
    )
