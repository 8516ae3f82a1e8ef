"""The Pipeline dashboard: messages, their outcomes and monitor progress, by commit time."""

from typing import Any

from grafana_foundation_sdk.builders import barchart, stat, timeseries
from grafana_foundation_sdk.builders import table as table_panel
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from driftline import names
from driftline.dashboards.definitions.pipeline_problems import (
    LAG_SECONDS,
    REJECTED,
    SILENT_SECONDS,
    problems,
)
from driftline.dashboards.panels import palette, style, variables
from driftline.dashboards.panels.board import (
    Panel,
    Query,
    Section,
    board,
    coloured,
    describe,
    mapped,
    table,
)
from driftline.dashboards.panels.scope import WINDOW, Scope

_MAX_LISTED = 100
_SOURCES = "source IN (SELECT id FROM driftline.source WHERE model = {model} AND stream = 'events')"


def pipeline(scope: Scope) -> dict[str, Any]:
    """The Pipeline dashboard."""
    return board(
        scope.uid,
        "driftline · Pipeline",
        "Throughput, lag, rejected messages, consistency, monitors and database.",
        variables=[variables.of_model(), variables.window(scope)],
        links=variables.links(),
        time=("now-6h", "now"),
        sections=[
            Section(
                "Now",
                [
                    problems(scope, _sources(scope), _accounts(scope)),
                    proof(scope),
                    rejected_share(scope),
                    beat(),
                    behind(),
                    size(),
                ],
            ),
            Section("Events", [throughput(scope), lag(scope)]),
            Section("Consistency and rejected messages", [accounts(scope), reasons(scope)]),
            Section("Monitors and database", [monitors(), runners(), tables()]),
        ],
    )


def proof(scope: Scope) -> Panel:
    """The difference between the ledger and the profiles."""
    equal = mapped(("0", "equal", palette.OK))
    panel = style.figure(stat.Panel()).unit("short").mappings(equal)
    return describe(
        panel.thresholds(
            style.from_zero((-1e15, palette.ALARM), (0, palette.OK), (1, palette.ALARM))
        ),
        "proof",
        "Logged minus profiled",
        "Predictions in the ledger minus predictions in the profiles, over all time. One "
        "transaction writes both, so they must be equal; if not, run 'driftline audit --deep'.",
        table(f"SELECT logged - profiled AS difference FROM ({_accounts(scope)}) AS accounts"),
        size=(5, 4),
        empty="No events yet",
    )


def rejected_share(scope: Scope) -> Panel:
    """The share of rejected messages in the time range."""
    panel = style.figure(stat.Panel()).unit("percentunit").decimals(2)
    return describe(
        panel.thresholds(
            style.from_zero(
                (0, palette.OK), (REJECTED[0], palette.PENDING), (REJECTED[1], palette.ALARM)
            )
        ),
        "rejected share",
        "Rejected share",
        "Rejected messages of this time range, without duplicates; their reasons are below.",
        table(f"""\
SELECT sum(rejected)::float8 / nullif(sum(logged + rejected + filtered), 0) AS rejected
  FROM driftline.ledger WHERE {_sources(scope)} AND $__timeFilter(committed_at)"""),
        size=(5, 4),
        empty="No messages in this range",
    )


def beat() -> Panel:
    """Seconds since the last heartbeat of a runner."""
    return describe(
        style.figure(stat.Panel())
        .unit("s")
        .thresholds(
            style.from_zero(
                (0, palette.OK),
                (SILENT_SECONDS[0], palette.PENDING),
                (SILENT_SECONDS[1], palette.ALARM),
            )
        ),
        "beat",
        "Last heartbeat",
        "Time since the last heartbeat of any runner. If it grows, start 'driftline monitor'.",
        table("SELECT extract(epoch FROM now() - max(heartbeat_at)) AS age FROM driftline.runner"),
        size=(5, 4),
        empty="No runner yet: start 'driftline monitor'",
    )


def behind() -> Panel:
    """The largest lag of the monitors."""
    return describe(
        style.figure(stat.Panel())
        .unit("s")
        .thresholds(
            style.from_zero(
                (0, palette.OK), (LAG_SECONDS[0], palette.PENDING), (LAG_SECONDS[1], palette.ALARM)
            )
        ),
        "behind",
        "Maximum monitor lag",
        "Waiting time of the oldest window to judge. If it grows, add a 'driftline monitor'.",
        table("SELECT max(lag_seconds) AS lag FROM driftline.monitor_progress"),
        size=(5, 4),
        empty="No model judged yet",
    )


def size() -> Panel:
    """The size of the database on disk."""
    return describe(
        style.figure(stat.Panel()).unit("bytes").decimals(1),
        "size",
        "Database size",
        "Size of the whole database on disk, including indexes.",
        table("SELECT pg_database_size(current_database()) AS bytes"),
        size=(4, 4),
    )


def throughput(scope: Scope) -> Panel:
    """Settled messages by outcome over time."""
    panel = style.stacked(timeseries.Panel()).unit("short").interval("10s")
    for name, colour in _OUTCOMES:
        panel = panel.override_by_name(*coloured(name, colour))
    return describe(
        panel,
        "throughput",
        "Messages by outcome",
        "Settled messages by commit time. The ledger of earlier days is compacted to one row per "
        "day, which counts at its last commit.",
        Query(f"""\
SELECT $__timeGroup(committed_at, $__interval) AS time, sum(logged) AS logged,
       sum(duplicate) AS duplicate, sum(rejected) AS rejected, sum(filtered) AS filtered
  FROM driftline.ledger WHERE {_sources(scope)} AND $__timeFilter(committed_at)
 GROUP BY 1 ORDER BY 1"""),
        size=(14, 9),
        empty="No messages in this range",
    )


_OUTCOMES = (
    ("logged", palette.SERVED),
    ("duplicate", palette.EXPECTED),
    ("rejected", palette.ALARM),
    ("filtered", palette.BROKEN),
)


def lag(scope: Scope) -> Panel:
    """Lag from Kafka to the score in the latest windows."""
    panel = style.shares(barchart.Panel()).unit("short").axis_label("seconds")
    return describe(
        panel,
        "lag",
        "End-to-end lag of the latest windows",
        "Time from the Kafka timestamp of a message to its score: percentiles of the last 24 "
        "judged windows, in any time range. If it grows, give the job more workers.",
        table(f"""\
SELECT to_char(window_end AT TIME ZONE 'UTC', 'MM-DD HH24:MI') AS "window", p50, p95, p99
  FROM (SELECT window_end, max(p50) / 1000 AS p50, max(p95) / 1000 AS p95,
               max(p99) / 1000 AS p99
          FROM (SELECT window_end AS latest FROM driftline.judged_window
                 WHERE model = {scope.model} AND window_seconds = {WINDOW}
                 ORDER BY window_end DESC LIMIT 24) AS chosen
         CROSS JOIN LATERAL (
            SELECT window_end, p50, p95, p99 FROM driftline.window_stat
             WHERE model = {scope.model} AND window_seconds = {WINDOW}
               AND window_end = chosen.latest AND "column" = '{names.LAG_MS}'
               AND segment = '' AND role = '{names.SERVED}') AS stat
         GROUP BY 1) AS lags
 ORDER BY lags.window_end"""),
        size=(10, 9),
        empty="No window judged yet",
    )


def accounts(scope: Scope) -> Panel:
    """Counts that must be equal."""
    return describe(
        style.listing(table_panel.Panel()),
        "accounts",
        "Counts in ledger, table and profiles",
        "Counts that must be equal. All time: ledger and profiles. Last hour of events: rows in "
        "the model's table and in the profiles. If they differ, run 'driftline audit --deep'.",
        table(f"""\
SELECT account, ledger, "rows", profiles FROM (
  SELECT 1 AS number, 'all time' AS account, logged AS ledger, NULL::bigint AS "rows",
         profiled AS profiles FROM ({_accounts(scope)}) AS accounts
  UNION ALL
  SELECT 2, 'last hour of events', NULL,
         (xpath('/row/n/text()', query_to_xml(format(
            'SELECT count(*) AS n FROM driftline.%I WHERE event_time >= %L AND event_time < %L',
            model.prediction_table, latest.bucket - interval '59 minutes',
            latest.bucket + interval '1 minute'), false, true, '')))[1]::text::bigint,
         (SELECT sum(rows) FROM driftline.profile
           WHERE model = {scope.model} AND bucket > latest.bucket - interval '1 hour'
             AND bucket <= latest.bucket AND segment = '' AND role = 'served')
    FROM driftline.model
   CROSS JOIN LATERAL (SELECT bucket FROM driftline.profile
                        WHERE model = {scope.model} AND span_minutes = 1
                        ORDER BY bucket DESC LIMIT 1) AS latest
   WHERE model.name = {scope.model}) AS both_sides
 ORDER BY number"""),
        size=(12, 7),
        empty="No events yet",
    )


def reasons(scope: Scope) -> Panel:
    """Rejected messages by reason."""
    return describe(
        style.ranking(barchart.Panel()).unit("short"),
        "reasons",
        "Rejected messages by reason",
        "Messages rejected in this time range. 'driftline rejected list' shows them; after "
        "fixing the cause, 'driftline rejected replay' sends them again.",
        table(f"""\
SELECT reason, count(*) AS messages FROM driftline.rejected
 WHERE source IN (SELECT id FROM driftline.source WHERE model = {scope.model})
   AND $__timeFilter(rejected_at)
 GROUP BY 1 ORDER BY 2 DESC LIMIT 12"""),
        size=(12, 7),
        empty="No rejected messages in this range",
    )


def monitors() -> Panel:
    """The models whose monitors fail or lag most."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("lag", [DynamicConfigValue("unit", "s")])
    return describe(
        panel,
        "monitors",
        "Monitors by model",
        f"At most {_MAX_LISTED} models: those with failing monitors first, with their error, then "
        "the longest lag. 'driftline doctor' suggests fixes.",
        table(f"""\
SELECT model, lag_seconds AS lag, judged_until AS "judged until", failed_since AS "failed since",
       error
  FROM driftline.monitor_progress
 ORDER BY failed_since IS NULL, lag_seconds DESC NULLS LAST, model LIMIT {_MAX_LISTED}"""),
        size=(12, 8),
        empty="No model judged yet: start 'driftline monitor'",
    )


def runners() -> Panel:
    """The processes that run the monitors."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("lag", [DynamicConfigValue("unit", "s")])
    return describe(
        panel,
        "runners",
        "Runners",
        "The 20 latest processes of 'driftline monitor': state, last heartbeat, number of "
        "assigned models, lag, errors.",
        table("""\
SELECT id AS runner,
       CASE WHEN stopped_at IS NOT NULL THEN 'stopped'
            WHEN heartbeat_at < now() - interval '1 min' THEN 'silent' ELSE 'running' END AS state,
       heartbeat_at AS "last heartbeat", models, lag_seconds AS lag, errors
  FROM driftline.runner ORDER BY heartbeat_at DESC LIMIT 20"""),
        size=(6, 8),
        empty="No runner yet: start 'driftline monitor'",
    )


def tables() -> Panel:
    """The largest tables."""
    return describe(
        style.ranking(barchart.Panel()).unit("bytes"),
        "tables",
        "Largest tables",
        "Size of each hypertable without indexes, as of the last VACUUM or ANALYZE.",
        table("""\
SELECT hypertable.table_name AS "table", sum(class.relpages) * 8192 AS bytes
  FROM _timescaledb_catalog.hypertable
  JOIN _timescaledb_catalog.chunk ON chunk.hypertable_id = hypertable.id AND NOT chunk.dropped
  JOIN pg_namespace AS space ON space.nspname = chunk.schema_name
  JOIN pg_class AS class ON class.relname = chunk.table_name AND class.relnamespace = space.oid
 WHERE hypertable.schema_name = 'driftline'
 GROUP BY 1 HAVING sum(class.relpages) > 0 ORDER BY 2 DESC LIMIT 12"""),
        size=(6, 8),
        empty="No table analysed yet: run ANALYZE, or wait for autovacuum",
    )


def _sources(scope: Scope) -> str:
    return _SOURCES.format(model=scope.model)


def _accounts(scope: Scope) -> str:
    """SQL of one row: predictions in the ledger (`logged`) and in the profiles (`profiled`)."""
    return f"""\
SELECT (SELECT sum(logged)::bigint FROM driftline.ledger WHERE {_sources(scope)}) AS logged,
       (SELECT sum(rows)::bigint FROM driftline.profile
         WHERE model = {scope.model} AND segment = '' AND role = 'served') AS profiled"""
