"""Events over all charts of a model's dashboard: promotions, incidents, what was filled in late."""

from driftline.dashboards.panels import palette
from driftline.dashboards.panels.board import Annotation
from driftline.dashboards.panels.scope import WINDOW, Scope


def of(scope: Scope) -> list[Annotation]:
    """The annotations of one model."""
    return [promotions(scope), incidents(scope), backfills(scope)]


def promotions(scope: Scope) -> Annotation:
    """When another version took over or was gone back to, by the time of the events it served.

    Of a minute that two versions share, the one that served more counts: a canary is no swap.
    """
    return Annotation(
        "Versions",
        f"""\
SELECT bucket AS time, bucket AS timeend, 'version ' || version || ' serves' AS text,
       'version' AS tags
  FROM (SELECT bucket, version, lag(version) OVER (ORDER BY bucket) AS before
          FROM (SELECT DISTINCT ON (bucket) bucket, version
                  FROM driftline.profile
                 WHERE model = {scope.model} AND $__timeFilter(bucket)
                   AND segment = '' AND role = 'served'
                 GROUP BY bucket, version
                 ORDER BY bucket, sum(rows) DESC, version) AS most) AS seen
 WHERE version <> before
 ORDER BY 1 DESC""",
        palette.SERVED,
    )


def incidents(scope: Scope) -> Annotation:
    """From the first bad window to the last."""
    return Annotation(
        "Incidents",
        f"""\
SELECT since AS time, last AS timeend, summary AS text, severity AS tags
  FROM driftline.incident
 WHERE model = {scope.model} AND since <= $__timeTo() AND last >= $__timeFrom()
 ORDER BY since DESC""",
        palette.ALARM,
    )


def backfills(scope: Scope) -> Annotation:
    """Windows that were judged again, because events came for them later: one band for those that
    touch each other."""
    return Annotation(
        "Backfills",
        f"""\
SELECT min(start) AS time, max(window_end) AS timeend,
       'judged again: ' || count(*) || CASE count(*) WHEN 1 THEN ' window' ELSE ' windows' END
         AS text,
       'backfill' AS tags
  FROM (SELECT start, window_end, sum(begins) OVER (ORDER BY window_end) AS band
          FROM (SELECT start, window_end,
                       CASE WHEN start <= lag(window_end) OVER (ORDER BY window_end)
                            THEN 0 ELSE 1 END AS begins
                  FROM (SELECT window_end, window_end - make_interval(secs => window_seconds)
                                 AS start
                          FROM driftline.judged_window
                         WHERE model = {scope.model} AND window_seconds = {WINDOW}
                           AND $__timeFilter(window_end) AND revision > 0) AS revised) AS marked)
       AS banded
 GROUP BY band ORDER BY 1 DESC""",
        palette.BROKEN,
    )
