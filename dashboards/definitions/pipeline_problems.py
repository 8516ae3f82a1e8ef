"""The first panel of the Pipeline dashboard: problems, their start and what to do."""

from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from driftline.config.monitors import PIPELINE
from driftline.dashboards.panels import style
from driftline.dashboards.panels.board import Panel, describe, table
from driftline.dashboards.panels.scope import Scope

# Rejected shares and seconds: thresholds for 'pending' and 'firing'.
REJECTED = (0.01, 0.05)
SILENT_SECONDS = (60, 300)
LAG_SECONDS = (600, 3600)
_NO_MESSAGE_MINUTES = 15


def problems(scope: Scope, sources: str, accounts: str) -> Panel:
    """One row per part of the pipeline, the worst first.

    Parameters:
        sources: SQL condition on `source` that selects the model's events.
        accounts: SQL of one row with the columns `logged` and `profiled`.
    """
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("state", style.pill(*style.ALERTS))
    panel = panel.override_by_name("problem", [DynamicConfigValue("custom.width", 460)])
    parts = "\nUNION ALL\n".join(
        (_events(sources), _rejects(sources), _proof(accounts), _RUNNERS, _FAILING, _BEHIND)
    )
    return describe(
        panel,
        "problems",
        "Pipeline problems",
        "Each part of the pipeline, the worst first: its problem, the start and what to do. "
        "Runners and monitors are those of all models, the other rows those of the selected "
        "model.",
        table(f"""\
SELECT replace(state, '_', ' ') AS state, part,
       CASE state WHEN 'ok' THEN NULL ELSE since END AS since,
       CASE state WHEN 'ok' THEN '' ELSE problem END AS "problem",
       CASE state WHEN 'ok' THEN '' ELSE action END AS "action"
  FROM (
{parts}
UNION ALL
{_alerts(scope)}) AS parts
 ORDER BY {style.ALERT_RANK} DESC, part"""),
        size=(24, 8),
    )


def _events(sources: str) -> str:
    return f"""\
SELECT CASE WHEN max(committed_at) > now() - interval '{_NO_MESSAGE_MINUTES} minutes'
            THEN 'ok' ELSE 'no_data' END AS state, 'events' AS part, max(committed_at) AS since,
       CASE WHEN max(committed_at) IS NULL THEN 'No message has arrived yet'
            ELSE 'No message has been logged, rejected or filtered since' END AS problem,
       'run driftline doctor: is the job running, do messages arrive?' AS action
  FROM driftline.ledger WHERE {sources}"""


def _rejects(sources: str) -> str:
    some, many = REJECTED
    return f"""\
SELECT CASE WHEN share >= {many} THEN 'firing' WHEN share >= {some} THEN 'pending' ELSE 'ok' END,
       'rejected messages', (SELECT min(rejected_at) FROM driftline.rejected
                    WHERE {sources} AND $__timeFilter(rejected_at)),
       format('%s %% of the messages in this time range were rejected', round(100 * share, 1)),
       'fix the cause (see Rejected messages by reason), then driftline rejected replay'
  FROM (SELECT coalesce(sum(rejected) / nullif(sum(logged + rejected + filtered), 0), 0) AS share
          FROM driftline.ledger
         WHERE {sources} AND $__timeFilter(committed_at)) AS messages"""


def _proof(accounts: str) -> str:
    return f"""\
SELECT CASE WHEN logged IS NULL THEN 'no_data' WHEN logged = profiled THEN 'ok'
            ELSE 'firing' END, 'consistency', NULL::timestamptz,
       CASE WHEN logged IS NULL THEN 'No event has been logged yet'
            ELSE format('%s predictions are in the ledger, but %s in the profiles', logged,
                        coalesce(profiled, 0)) END,
       'run driftline audit --deep'
  FROM ({accounts}) AS accounts"""


_RUNNERS = f"""\
SELECT CASE WHEN max(heartbeat_at) > now() - interval '{SILENT_SECONDS[0]} seconds' THEN 'ok'
            ELSE 'broken' END, 'runners', max(heartbeat_at),
       'No runner is alive: no window is judged', 'start driftline monitor'
  FROM driftline.runner WHERE stopped_at IS NULL"""

_FAILING = """\
SELECT CASE count(*) WHEN 0 THEN 'ok' ELSE 'broken' END, 'monitors', min(failed_since),
       format('Models with failing monitors: %s, the first of them %s', count(*),
              (array_agg(model ORDER BY failed_since))[1]),
       'see the errors in Monitors by model; run driftline doctor'
  FROM driftline.monitor_progress WHERE failed_since IS NOT NULL"""

_BEHIND = f"""\
SELECT CASE WHEN max(lag_seconds) >= {LAG_SECONDS[1]} THEN 'firing'
            WHEN max(lag_seconds) >= {LAG_SECONDS[0]} THEN 'pending' ELSE 'ok' END,
       'monitor lag', now() - max(lag_seconds) * interval '1 second',
       format('A window of %s is waiting to be judged',
              (array_agg(model ORDER BY lag_seconds DESC NULLS LAST))[1]),
       'start another driftline monitor; see Monitors by model'
  FROM driftline.monitor_progress"""


def _alerts(scope: Scope) -> str:
    """The model's alerts of the families pipeline and volume."""
    return f"""\
SELECT state, format('alert of family %s', family), since, coalesce(summary, ''),
       'run driftline alerts list and driftline doctor'
  FROM driftline.alert
 WHERE model = {scope.model} AND family IN ('{PIPELINE}', 'volume')"""
