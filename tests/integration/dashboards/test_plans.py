"""At thousands of models no query reads a large table from end to end."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from driftline.config import Config, Model
from driftline.dashboards.sync.alert_rules import rules
from driftline.storage.connection import Connection, connect
from tests import monitored
from tests.integration.dashboards.asked import ALL, VARIABLES, Asked

MODELS = 2_000
# Of all of them, in one team.
_SECTION = Model.model_validate({**monitored.section(), "team": "t"})
RULES = rules(Config(models={f"model-{n}": _SECTION for n in range(1, MODELS + 1)}))
# One row a model, a model and family, or a process: these may be read whole.
SMALL = {
    *("model", "model_version", "source", "alert", "monitor_progress", "runner", "report"),
    *("promotion",),  # PostgreSQL reads a few pages rather than an index
}
# Hypertables have chunks of 7 and 30 days since 1970: all of it lies in one of each.
START = datetime.fromtimestamp(95 * 210 * 86_400, UTC) + timedelta(days=1)
HOURS = 96

_FILL = (
    """INSERT INTO driftline.model (name, prediction_table)
       SELECT 'model-' || n, 'prediction_fraud' FROM generate_series(1, {models}) AS n""",
    """INSERT INTO driftline.source (model, stream, topic, partition)
       SELECT name, 'events', 't', 0 FROM driftline.model""",
    """INSERT INTO driftline.alert (model, family, team, state, severity, since)
       SELECT name, family, 't', CASE WHEN random() < 0.05 THEN 'firing' ELSE 'ok' END, 'ticket',
              '{start}' FROM driftline.model,
              unnest(ARRAY['drift', 'quality', 'latency', 'volume', 'performance']) AS family""",
    """INSERT INTO driftline.monitor_progress (model, shard, lag_seconds)
       SELECT name, 0, random() FROM driftline.model""",
    """INSERT INTO driftline.judged_window
              (window_end, model, window_seconds, revision, rows, final)
       SELECT '{start}'::timestamptz + hour * interval '1 hour', name, 3600, 0, 1000, true
         FROM driftline.model, generate_series(1, {hours}) AS hour""",
    """INSERT INTO driftline.window_stat
              (window_end, model, window_seconds, version, role, segment, "column", rows, missing,
               invalid, mean, p50, p95, p99, labels, counts, reference_shares)
       SELECT '{start}'::timestamptz + hour * interval '1 hour', name, 3600, 1, 'served', '',
              "column", 100, 0, 0, 1, 1, 1, 1, '{{a}}', '{{100}}', '{{1}}'
         FROM driftline.model, generate_series(1, {hours}, 2) AS hour,
              unnest(ARRAY['score', 'amount', 'lag_ms']) AS "column" """,
    """INSERT INTO driftline.verdict
              (window_end, model, window_seconds, segment, "column", monitor, family, version,
               revision, rows, status, alerts, provisional, effect)
       SELECT '{start}'::timestamptz + hour * interval '1 hour', name, 3600, '', "column",
              'location', 'drift', 1, 0, 100,
              CASE WHEN random() < 0.01 THEN 'alarm' ELSE 'ok' END, true, false, 1
         FROM driftline.model, generate_series(1, {hours}, 2) AS hour,
              unnest(ARRAY['score', 'amount', 'items']) AS "column" """,
    """INSERT INTO driftline.profile
              (bucket, model, span_minutes, version, role, segment, binning_id, rows, cells)
       SELECT '{start}'::timestamptz + minute * interval '30 minutes', name, 1, 1, 'served', '',
              'b', 10, '' FROM driftline.model, generate_series(1, {hours} * 2) AS minute""",
    """INSERT INTO driftline.ledger (committed_at, source, first_offset, last_offset, offsets,
               logged, duplicate, rejected, filtered)
       SELECT '{start}'::timestamptz + hour * interval '1 hour', id, hour, hour, '{{}}', 1, 0, 0, 0
         FROM driftline.source, generate_series(1, {hours}) AS hour""",
    """INSERT INTO driftline.rejected
              (rejected_at, source, kafka_offset, kafka_time, reason, detail)
       SELECT '{start}'::timestamptz + hour * interval '1 hour', id, hour, '{start}', 'r', ''
         FROM driftline.source, generate_series(1, {hours}) AS hour""",
    """INSERT INTO driftline.incident (model, family, severity, since, last, opened_at,
               resolved_at, summary, contributors)
       SELECT name, 'drift', 'ticket', '{start}', '{start}',
              '{start}'::timestamptz + n * interval '1 hour',
              CASE WHEN n < 50 OR random() < 0.9 THEN '{start}'::timestamptz END, '', '[]'
         FROM driftline.model, generate_series(1, 50) AS n""",
    """INSERT INTO driftline.label
              (label_time, model, event_id, label, source, kafka_offset, kafka_time)
       SELECT '{start}'::timestamptz + n * interval '0.1 second', 'model-' || n % 100, 'e' || n, 1,
              1, n, '{start}' FROM generate_series(1, 200000) AS n""",
    """INSERT INTO driftline.prediction_fraud
              (event_time, event_id, model_version, role, score, late, source, kafka_offset,
               kafka_time, scored_at, inference_ms, lag_ms)
       SELECT '{start}'::timestamptz + n * interval '1.7 seconds', 'e' || n, 1, 'champion', 0.5,
              false, 1, n, '{start}', '{start}', 1, 1 FROM generate_series(1, 200000) AS n""",
    """INSERT INTO driftline.shadow_fraud
              (event_time, event_id, model_version, role, score, source, kafka_offset, scored_at,
               inference_ms)
       SELECT event_time, event_id, 2, 'shadow', 0.5, 1, kafka_offset, scored_at, 1
         FROM driftline.prediction_fraud""",
)


@pytest.fixture(scope="module")
def reader(empty_database: Callable[[], Config]) -> Iterator[Connection]:
    config = monitored.migrated(empty_database())
    with connect(config.postgres, "migrate", autocommit=True) as connection:
        for statement in _FILL:
            filled = statement.format(models=MODELS, hours=HOURS, start=START.isoformat())
            connection.execute(filled.encode())
        connection.execute("VACUUM ANALYZE")
    with connect(config.postgres, "read", autocommit=True) as connection:
        yield connection


def scanned(plan: dict[str, Any]) -> Iterator[str]:
    """The tables that a plan reads from end to end."""
    if plan["Node Type"] in {"Seq Scan", "Parallel Seq Scan"}:
        yield plan["Relation Name"]
    for below in plan.get("Plans", []):
        yield from scanned(below)


@pytest.mark.parametrize("asked", ALL, ids=str)
def test_reads_by_index(reader: Connection, asked: Asked) -> None:
    for model in (monitored.FRAUD, "model-1"):  # with many rows of its own, and with many others'
        variables = VARIABLES | {"model": model}
        _by_index(reader, asked.over(START, START + timedelta(hours=HOURS), variables))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["uid"])
def test_rules_read_by_index(reader: Connection, rule: dict[str, Any]) -> None:
    for query in rule["data"]:
        if sql := query["model"].get("rawSql"):
            _by_index(reader, sql)


def _by_index(reader: Connection, sql: str) -> None:
    row = reader.execute(f"EXPLAIN (FORMAT JSON) {sql}".encode()).fetchone()
    assert row is not None
    whole = {_hypertable(reader, name) for name in scanned(row[0][0]["Plan"])}
    assert {name for name in whole if not name.startswith(("pg_", "_"))} <= SMALL


def _hypertable(reader: Connection, name: str) -> str:
    """Of a chunk; a catalogue's own tables are marked."""
    row = reader.execute(
        "SELECT hypertable_name FROM timescaledb_information.chunks WHERE chunk_name = %s", [name]
    ).fetchone()
    if row is not None:
        return str(row[0])
    ours = reader.execute("SELECT to_regclass(%s)", [f"driftline.{name}"]).fetchone()
    return name if ours != (None,) else f"_{name}"


def test_rows_of_the_last_hour_are_counted_by_index(reader: Connection) -> None:
    """The statement inside query_to_xml, which no plan shows."""
    row = reader.execute(
        "EXPLAIN (FORMAT JSON) SELECT count(*) FROM driftline.prediction_fraud"
        " WHERE event_time >= %s AND event_time < %s",
        [START + timedelta(hours=3), START + timedelta(hours=4)],
    ).fetchone()
    assert row is not None
    assert list(scanned(row[0][0]["Plan"])) == []
