"""How many predictions, and by which version."""

from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.builders import timeseries

from driftline.dashboards.panels import style
from driftline.dashboards.panels.board import Panel, Query, describe, table
from driftline.dashboards.panels.scope import VERSIONS, Scope


def panels(scope: Scope) -> list[Panel]:
    """The panels of the section."""
    return [traffic(scope), decisions(scope)]


def traffic(scope: Scope) -> Panel:
    """The predictions of each version."""
    return describe(
        style.stacked(timeseries.Panel()).unit("short").interval("1m"),
        "traffic",
        "Predictions by version",
        "Served predictions by event time. Lines mark changes of the serving version. Compacted "
        "minutes count at the start of their hour or day.",
        Query(f"""\
SELECT $__timeGroup(bucket, $__interval) AS time, 'version ' || version AS metric,
       sum(rows) AS predictions
  FROM driftline.profile
 WHERE model = {scope.model} AND $__timeFilter(bucket)
   AND segment = '' AND role = 'served' AND {VERSIONS}
 GROUP BY 1, 2 ORDER BY 1, 2"""),
        size=(16, 9),
        empty="No predictions in this range",
    )


def decisions(scope: Scope) -> Panel:
    """Decisions about versions, with user and reason."""
    panel = style.listing(table_panel.Panel()).override_by_name(
        "decision", style.pill(*style.DECISIONS)
    )
    return describe(
        panel,
        "decisions",
        "Version decisions",
        "Promotions, rollbacks and refusals, newest first, in any time range.",
        table(f"""\
SELECT version, kind AS decision, decided_at AS time, decided_by AS "by",
       coalesce(reason, '') AS reason
  FROM driftline.promotion WHERE model = {scope.model} ORDER BY id DESC LIMIT 30"""),
        size=(8, 9),
        empty="No version promoted yet: run 'driftline models promote'",
    )
