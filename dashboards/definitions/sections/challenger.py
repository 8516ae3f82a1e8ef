"""Other versions on the same events, compared with the serving version."""

from grafana_foundation_sdk.builders import barchart, timeseries
from grafana_foundation_sdk.builders import table as table_panel

from driftline import names
from driftline.dashboards.definitions.sections.sample import POINTS, SLOTS, rows
from driftline.dashboards.panels import palette, style
from driftline.dashboards.panels.board import Panel, Query, coloured, describe, table
from driftline.dashboards.panels.scope import SEGMENT, WINDOW, Scope, rows_of, shadows_of

_SAMPLE = 500  # events per time interval
_NONE = "No other version scores: start one with 'driftline models shadow' or 'challenge'"


def panels(scope: Scope) -> list[Panel]:
    """The panels of the section."""
    if scope.name is None:
        return [scores(scope), distributions(scope), versions(scope, 24)]
    return [scores(scope), distributions(scope), versions(scope, 12), difference(scope)]


def scores(scope: Scope) -> Panel:
    """The mean score of each version."""
    return describe(
        style.lines(timeseries.Panel()).decimals(3),
        "version scores",
        "Mean score by version",
        "Mean score per window of the served predictions, and of shadows and challengers on the "
        "same events.",
        Query(f"""\
SELECT $__timeGroup(window_end, $__interval) AS time,
       'version ' || version || ' · ' || role AS metric,
       sum(mean * rows) / nullif(sum(rows), 0) AS mean
  FROM driftline.window_stat
 WHERE {scope.windows} AND "column" = '{names.SCORE}' AND {SEGMENT}
 GROUP BY 1, 2 ORDER BY 1, 2"""),
        size=(12, 9),
        empty="No window judged in this range",
    )


def distributions(scope: Scope) -> Panel:
    """The score distributions in the last window that other versions also scored."""
    return describe(
        style.shares(barchart.Panel()).override_by_name(*coloured("served", palette.SERVED)),
        "version distributions",
        "Score distribution by version",
        "Share of each score bin in the last window of the time range that other versions scored: "
        "served predictions and those of the other versions.",
        table(f"""\
SELECT label AS score, {_share("= 'served'")} AS served,
       {_share("<> 'served'")} AS "other versions"
  FROM driftline.window_stat
 CROSS JOIN LATERAL unnest(labels, counts) WITH ORDINALITY AS cell (label, count, bin)
 WHERE model = {scope.model} AND window_seconds = {WINDOW} AND "column" = '{names.SCORE}'
   AND {SEGMENT}
   AND window_end = (SELECT max(window_end) FROM driftline.window_stat
                      WHERE {scope.windows} AND "column" = '{names.SCORE}' AND {SEGMENT}
                        AND role <> 'served')
 GROUP BY bin, label ORDER BY bin"""),
        size=(12, 9),
        empty=_NONE,
    )


def versions(scope: Scope, width: int) -> Panel:
    """All versions over the time range."""
    return describe(
        style.listing(table_panel.Panel()),
        "version table",
        "Versions in this range",
        "Rows, mean score and the slowest window's inference p99, by version and role.",
        table(f"""\
SELECT version, role, sum(rows) FILTER (WHERE "column" = '{names.SCORE}') AS rows,
       sum(mean * rows) FILTER (WHERE "column" = '{names.SCORE}')
         / nullif(sum(rows) FILTER (WHERE "column" = '{names.SCORE}'), 0) AS "mean score",
       max(p99) FILTER (WHERE "column" = '{names.INFERENCE_MS}') AS "inference p99, ms"
  FROM driftline.window_stat
 WHERE {scope.windows} AND "column" IN ('{names.SCORE}', '{names.INFERENCE_MS}') AND {SEGMENT}
 GROUP BY 1, 2 ORDER BY 1 DESC, 2"""),
        size=(width, 9),
        empty="No window judged in this range",
    )


def difference(scope: Scope) -> Panel:
    """The score difference between other versions and the served predictions, event by event."""
    assert scope.name is not None
    columns = "event_time, event_id, model_version, score"
    return describe(
        style.lines(timeseries.Panel()).max_data_points(POINTS).interval("10m").min(0),
        "version difference",
        "Score difference to the served version",
        f"Mean absolute difference of the scores on the same events, from at most {_SAMPLE} rows "
        "per time interval.",
        Query(f"""\
SELECT slot.start AS time, 'version ' || other.model_version AS metric,
       avg(abs(other.score - served.score)) AS difference
  FROM {SLOTS}
 {rows(shadows_of(scope.name), columns, "other", _SAMPLE)}
 CROSS JOIN LATERAL (
   SELECT score FROM {rows_of(scope.name)}
    WHERE event_time = other.event_time AND event_id = other.event_id LIMIT 1) AS served
 GROUP BY 1, 2 ORDER BY 1, 2"""),
        size=(12, 9),
        empty=_NONE,
    )


def _share(role: str) -> str:
    """SQL: the share of a role's rows in a bin; a window function over the sums of all bins."""
    count = f"sum(count) FILTER (WHERE role {role})"
    return f"coalesce({count} / nullif(sum({count}) OVER (), 0), 0)"
