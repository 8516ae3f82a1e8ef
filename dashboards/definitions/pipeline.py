"""The pipeline: what came, what became of it, whether the monitors keep up. By time of commit."""

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

_LISTED = 100
_SOURCES = "source IN (SELECT id FROM driftline.source WHERE model = {model} AND stream = 'events')"


def pipeline(scope: Scope) -> dict[str, Any]:
    """The page."""
    return board(
        scope.uid,
        "driftline · Pipeline",
        "The way of the events: throughput, lag, rejects, proof, monitors, store.",
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
            Section("Proof and rejects", [accounts(scope), reasons(scope)]),
            Section("Monitors and store", [monitors(), runners(), tables()]),
        ],
    )


def proof(scope: Scope) -> Panel:
    """Whether the ledger and the profiles agree."""
    agrees = mapped(("0", "agrees", palette.OK))
    panel = style.figure(stat.Panel()).unit("short").mappings(agrees)
    return describe(
        panel.thresholds(
            style.from_zero((-1e15, palette.ALARM), (0, palette.OK), (1, palette.ALARM))
        ),
        "proof",
        "Logged = profiled",
        "Predictions in the ledger minus predictions in the profiles, of all time. Both are "
        "written in one transaction, so it is 0; 'driftline audit --deep' counts every cell.",
        table(f"SELECT logged - profiled AS difference FROM ({_accounts(scope)}) AS accounts"),
        size=(5, 4),
        empty="No events yet",
    )


def rejected_share(scope: Scope) -> Panel:
    """The share of rejected messages."""
    panel = style.figure(stat.Panel()).unit("percentunit").decimals(2)
    return describe(
        panel.thresholds(
            style.from_zero(
                (0, palette.OK), (REJECTED[0], palette.PENDING), (REJECTED[1], palette.ALARM)
            )
        ),
        "rejected share",
        "Rejected",
        "Share of the messages of this range that were rejected, of those that were not repeats.",
        table(f"""\
SELECT sum(rejected)::float8 / nullif(sum(logged + rejected + filtered), 0) AS rejected
  FROM driftline.ledger WHERE {_sources(scope)} AND $__timeFilter(committed_at)"""),
        size=(5, 4),
        empty="No messages in this range",
    )


def beat() -> Panel:
    """When a runner was last alive."""
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
        "Runner heartbeat",
        "Seconds since the last heartbeat of any runner of the monitors.",
        table("SELECT extract(epoch FROM now() - max(beat_at)) AS seconds FROM driftline.runner"),
        size=(5, 4),
        empty="No runner: start 'driftline monitor'",
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
        "Worst monitor lag",
        "How long the oldest window that could be judged has waited.",
        table("SELECT max(lag_seconds) AS lag FROM driftline.monitor_progress"),
        size=(5, 4),
        empty="No model is judged yet",
    )


def size() -> Panel:
    """Bytes on disk."""
    return describe(
        style.figure(stat.Panel()).unit("bytes").decimals(1),
        "size",
        "Database size",
        "All of the database, with its indexes.",
        table("SELECT pg_database_size(current_database()) AS bytes"),
        size=(4, 4),
    )


def throughput(scope: Scope) -> Panel:
    """Outcomes of messages over time."""
    panel = style.stacked(timeseries.Panel()).unit("short").interval("10s")
    for name, colour in _OUTCOMES:
        panel = panel.override_by_name(*coloured(name, colour))
    return describe(
        panel,
        "throughput",
        "Messages by outcome",
        "Messages that were settled, by the time of their commit. The ledger of earlier days is "
        "compacted to a row a day, which then counts at its last commit.",
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
    """From Kafka to the score, in the latest windows."""
    panel = style.shares(barchart.Panel()).unit("short").axis_label("seconds")
    return describe(
        panel,
        "lag",
        "End-to-end lag of the latest windows",
        "From Kafka's time of the message to the score, percentiles of the last 24 judged windows, "
        "whatever the range.",
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
    """The counts that must agree."""
    return describe(
        style.listing(table_panel.Panel()),
        "accounts",
        "Predicted = logged = profiled",
        "Of all time: the ledger's outcomes and the profiles. Of the last hour of events: rows in "
        "the model's table beside rows in the profiles of the same minutes.",
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
    """Why messages were rejected."""
    return describe(
        style.ranking(barchart.Panel()).unit("short"),
        "reasons",
        "Rejected by reason",
        "Messages of this range that were rejected: 'driftline rejected list' shows them, "
        "'driftline rejected replay' sends them again.",
        table(f"""\
SELECT reason, count(*) AS messages FROM driftline.rejected
 WHERE source IN (SELECT id FROM driftline.source WHERE model = {scope.model})
   AND $__timeFilter(rejected_at)
 GROUP BY 1 ORDER BY 2 DESC LIMIT 12"""),
        size=(12, 7),
        empty="No message was rejected in this range",
    )


def monitors() -> Panel:
    """Models whose monitors are furthest behind."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("lag", [DynamicConfigValue("unit", "s")])
    return describe(
        panel,
        "monitors",
        "Monitors by model",
        f"The {_LISTED} models that fail or wait longest, with their error.",
        table(f"""\
SELECT model, lag_seconds AS lag, judged_until AS "judged until", failed_since AS "failed since",
       error
  FROM driftline.monitor_progress
 ORDER BY failed_since IS NULL, lag_seconds DESC NULLS LAST, model LIMIT {_LISTED}"""),
        size=(12, 8),
        empty="No model is judged yet: start 'driftline monitor'",
    )


def runners() -> Panel:
    """The processes that judge."""
    panel = style.listing(table_panel.Panel())
    panel = panel.override_by_name("lag", [DynamicConfigValue("unit", "s")])
    return describe(
        panel,
        "runners",
        "Runners",
        "Each process of 'driftline monitor' of the last hour: its last heartbeat, how many models "
        "it has, its errors.",
        table("""\
SELECT id AS runner,
       CASE WHEN stopped_at IS NOT NULL THEN 'stopped'
            WHEN beat_at < now() - interval '1 minute' THEN 'silent' ELSE 'running' END AS state,
       beat_at AS "last heartbeat", models, lag_seconds AS lag, errors
  FROM driftline.runner ORDER BY beat_at DESC LIMIT 20"""),
        size=(6, 8),
        empty="No runner: start 'driftline monitor'",
    )


def tables() -> Panel:
    """Where the bytes are."""
    return describe(
        style.ranking(barchart.Panel()).unit("bytes"),
        "tables",
        "Largest tables",
        "Pages of each hypertable's chunks, without indexes, as of its last VACUUM or ANALYZE.",
        table("""\
SELECT hypertable.table_name AS "table", sum(class.relpages) * 8192 AS bytes
  FROM _timescaledb_catalog.hypertable
  JOIN _timescaledb_catalog.chunk ON chunk.hypertable_id = hypertable.id AND NOT chunk.dropped
  JOIN pg_namespace AS space ON space.nspname = chunk.schema_name
  JOIN pg_class AS class ON class.relname = chunk.table_name AND class.relnamespace = space.oid
 WHERE hypertable.schema_name = 'driftline'
 GROUP BY 1 HAVING sum(class.relpages) > 0 ORDER BY 2 DESC LIMIT 12"""),
        size=(6, 8),
        empty="Nothing is analysed yet",
    )


def _sources(scope: Scope) -> str:
    return _SOURCES.format(model=scope.model)


def _accounts(scope: Scope) -> str:
    """One row: what the ledger says was logged, what the profiles hold."""
    return f"""\
SELECT (SELECT sum(logged)::bigint FROM driftline.ledger WHERE {_sources(scope)}) AS logged,
       (SELECT sum(rows)::bigint FROM driftline.profile
         WHERE model = {scope.model} AND segment = '' AND role = 'served') AS profiled"""
