"""The lineage of one prediction: from its row back to message, version, run and decision."""

from datetime import datetime
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from driftline import names
from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.storage.connection import Connection, connect
from driftline.storage.log.far_times import read_far_times
from driftline.storage.tables import prediction_table, shadow_table

_VERSION = """
SELECT v.run_id, v.digest,
       coalesce((SELECT d.features_hash FROM driftline.model_definition AS d
                  WHERE d.model = v.model AND d.version = v.version AND d.since <= %s
                  ORDER BY d.since DESC LIMIT 1), v.features_hash) AS features_hash,
       v.binning_id, v.registered_at AS first_loaded_at,
       r.origin AS reference_origin, r.rows AS reference_rows, r.created_at AS reference_made_at
  FROM driftline.model_version AS v LEFT JOIN driftline.reference AS r USING (model, version)
 WHERE v.model = %s AND v.version = %s
"""
_DECISION = """
SELECT kind, decided_at, decided_by, previous, reason FROM driftline.promotion
 WHERE model = %s AND version = %s AND kind <> 'refused' AND decided_at <= %s
 ORDER BY id DESC LIMIT 1
"""
_LABELS = """
SELECT label, label_time FROM driftline.label WHERE model = %s AND event_id = %s ORDER BY label_time
"""
_SOURCE = "SELECT topic, partition FROM driftline.source WHERE id = %s"


def explain(
    config: Config,
    event_id: str,
    model: str | None = None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[dict[str, Any]]:
    """All stored data about the predictions of one event.

    Parameters:
        config: the config.
        event_id: the event.
        model: only this model; None searches all models of the config.
        since, until: event times to search, [since, until); on a large store this avoids a search
            of all of it.

    Returns:
        One dict per prediction: `prediction` (the row's own columns), `features`, `message` (topic,
        partition, offset), `version` (run, digest, feature definition, binning, reference),
        `decision` (which made the version champion), `shadows` (each with its run and digest),
        `labels`.

    Raises:
        ConfigError: there is no such model.
        DriftlineError: no prediction of that event is stored.
        ServiceError: the database is unavailable.
    """
    models = [model] if model is not None else list(config.models)
    predictions = []
    with connect(config.local_postgres(), "read", autocommit=True) as connection:
        read_far_times(connection)
        for name in models:
            config.model(name)
            if prediction_table.exists(connection, name):
                predictions += _describe_all(connection, name, event_id, since, until)
    if not predictions:
        raise DriftlineError(
            f"no prediction of event {event_id!r} is stored (models searched: "
            f"{', '.join(models) or 'none'}): 'driftline rejected list' shows rejected messages"
        )
    return predictions


def _describe_all(
    connection: Connection,
    model: str,
    event_id: str,
    since: datetime | None,
    until: datetime | None,
) -> list[dict[str, Any]]:
    query = sql.SQL(
        """SELECT * FROM {} WHERE event_id = %s AND event_time >= %s AND event_time < %s
            ORDER BY event_time"""
    ).format(sql.Identifier(names.SCHEMA, names.prediction_table(model)))
    bounds = (since or "-infinity", until or "infinity")
    return [
        _describe(connection, model, row) for row in _rows(connection, query, event_id, *bounds)
    ]


def _describe(connection: Connection, model: str, row: dict[str, Any]) -> dict[str, Any]:
    system = {name: row[name] for name in names.SYSTEM_COLUMNS if name in row}
    features = {name: value for name, value in row.items() if name not in system}
    (source,) = _rows(connection, sql.SQL(_SOURCE), system.pop("source"))
    message = {**source, "offset": system.pop("kafka_offset"), "time": system.pop("kafka_time")}
    key = (model, row["model_version"])
    versions = _rows(connection, sql.SQL(_VERSION), row["scored_at"], *key)
    decisions = _rows(connection, sql.SQL(_DECISION), *key, row["scored_at"])
    return {
        "model": model,
        "prediction": system,
        "features": features,
        "message": message,
        "version": versions[0] if versions else None,
        "decision": decisions[0] if decisions else None,
        "shadows": _shadows(connection, model, row),
        "labels": _rows(connection, sql.SQL(_LABELS), model, row["event_id"]),
    }


def _shadows(connection: Connection, model: str, row: dict[str, Any]) -> list[dict[str, Any]]:
    if not shadow_table.exists(connection, model):
        return []
    query = sql.SQL(
        """SELECT s.model_version, s.role, s.score, s.outputs, s.inference_ms, v.run_id, v.digest
             FROM {} AS s
             LEFT JOIN driftline.model_version AS v ON v.model = %s AND v.version = s.model_version
            WHERE s.event_time = %s AND s.event_id = %s ORDER BY s.model_version"""
    ).format(sql.Identifier(names.SCHEMA, names.shadow_table(model)))
    return _rows(connection, query, model, row["event_time"], row["event_id"])


def _rows(connection: Connection, query: sql.SQL | sql.Composed, *values: Any) -> list[Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchall()
