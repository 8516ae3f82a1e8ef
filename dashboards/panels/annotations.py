"""Annotations on all charts of a model's dashboard: promotions, incidents, backfills."""

from driftline.dashboards.panels import palette
from driftline.dashboards.panels.board import Annotation
from driftline.dashboards.panels.scope import WINDOW, Scope


def of(scope: Scope) -> list[Annotation]:
    """The annotations of one model."""
    return [promotions(scope), incidents(scope), backfills(scope)]


def promotions(scope: Scope) -> Annotation:
    """Changes of the serving version (promotions and rollbacks), by the time of its first events.

    In a minute that two versions share, the one that served more rows counts, for canaries.
    """
    return Annotation(
        "Versions",
        f"""\
SELECT bucket AS time, bucket AS timeend, 'version ' || version || ' serves' AS text,
       'version' AS tags
  FROM (SELECT bucket, version, lag(version) OVER (ORDER BY bucket) AS previous
          FROM (SELECT DISTINCT ON (bucket) bucket, version
                  FROM driftline.profile
                 WHERE model = {scope.model} AND $__timeFilter(bucket)
                   AND segment = '' AND role = 'served'
                 GROUP BY bucket, version
                 ORDER BY bucket, sum(rows) DESC, version) AS main) AS served
 WHERE version <> previous
 ORDER BY 1 DESC""",
        palette.SERVED,
    )


def incidents(scope: Scope) -> Annotation:
    """Incidents, from their first bad window to their last."""
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
    """Windows that were judged again because late events arrived; adjacent ones are one band."""
    return Annotation(
        "Backfills",
        f"""\
SELECT min(start) AS time, max(window_end) AS timeend,
       'judged again: ' || count(*) || CASE count(*) WHEN 1 THEN ' window' ELSE ' windows' END
         AS text,
       'backfill' AS tags
  FROM (SELECT start, window_end, sum(starts_band) OVER (ORDER BY window_end) AS band
          FROM (SELECT start, window_end,
                       CASE WHEN start <= lag(window_end) OVER (ORDER BY window_end)
                            THEN 0 ELSE 1 END AS starts_band
                  FROM (SELECT window_end, window_end - make_interval(secs => window_seconds)
                                 AS start
                          FROM driftline.judged_window
                         WHERE model = {scope.model} AND window_seconds = {WINDOW}
                           AND $__timeFilter(window_end) AND revision > 0) AS revised) AS marked)
       AS banded
 GROUP BY band ORDER BY 1 DESC""",
        palette.BROKEN,
    )
