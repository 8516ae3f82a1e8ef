"""The job's topology: input topics, the logging functions, output topics."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pyflink.table import StatementSet, StreamTableEnvironment

from driftline.config import Config, Model, Query
from driftline.names import (
    BODY,
    EVENT_TIME,
    FIELDS,
    IS_EVENT,
    IS_LATE,
    KAFKA_OFFSET,
    KAFKA_PARTITION,
    KEEP,
    KNOWN_TIME,
    LATE,
)
from driftline.streaming.flink.always_active import always_active
from driftline.streaming.flink.connector import java_properties
from driftline.streaming.flink.functions import log_labels, log_predictions
from driftline.streaming.queries.query import (
    accepted_time_expression,
    has_windows,
    listed,
    null_columns,
    typed_columns,
)
from driftline.streaming.queries.query_columns import arguments
from driftline.streaming.queries.query_fields import columns_of_fields, with_fields

Offsets = Mapping[int, int]  # partition -> first offset to read

POSITION = f"{KAFKA_PARTITION}, {KAFKA_OFFSET}, kafka_time"


def build(
    t_env: StreamTableEnvironment, config: Config, name: str, starts: Mapping[str, Offsets]
) -> StatementSet:
    """Build the statements of a model's job.

    Parameters:
        t_env: a streaming table environment.
        config: with the model `name` in it.
        starts: topic -> offsets to start from without a checkpoint.
    """
    model = config.model(name)
    kafka = java_properties(config.local_kafka())
    statements = t_env.create_statement_set()

    time = _event_time(model)
    _source(t_env, "messages", model.input.topic, kafka, starts, event_time=time)
    _feature_views(t_env, model, config.folder("run"))
    t_env.create_temporary_system_function("log_predictions", log_predictions(config, name))
    query = model.features.sql
    added = arguments(query.columns) if query is not None else ""
    # the planner would push the function below a UNION, which would load the model twice; it does
    # not push it below an UNNEST on which the call depends
    t_env.create_temporary_view(
        "logged",
        t_env.sql_query(
            f"""SELECT log_predictions({BODY}, {POSITION}, {IS_LATE}{added}) AS p
                  FROM featured CROSS JOIN UNNEST(ARRAY[{LATE}]) AS barrier ({IS_LATE})"""
            if added
            else f"SELECT log_predictions({BODY}, {POSITION}, {LATE}) AS p FROM featured"
        ),
    )
    statements.add_insert_sql(_publish(t_env, name, model, kafka))

    if model.labels is not None:
        _source(t_env, "label_messages", model.labels.topic, kafka, starts)
        t_env.create_temporary_system_function("log_labels", log_labels(config, name))
        _blackhole_table(t_env, "labelled", "logged BOOLEAN")
        statements.add_insert_sql(
            f"INSERT INTO labelled SELECT log_labels({BODY}, {POSITION}) FROM label_messages"
        )
    return statements


def _source(
    t_env: StreamTableEnvironment,
    table: str,
    topic: str,
    kafka: Mapping[str, str],
    starts: Mapping[str, Offsets],
    *,
    event_time: str = "",
) -> None:
    """Create a table of a topic's messages: raw bytes with their positions."""
    options: dict[str, Any] = {
        "connector": "kafka",
        "topic": topic,
        "format": "raw",
        "scan.startup.mode": "earliest-offset",
        "properties.auto.offset.reset": "earliest",
        "properties.isolation.level": "read_committed",
        **{f"properties.{key}": value for key, value in kafka.items()},
    }
    if starts.get(topic):
        options["scan.startup.mode"] = "specific-offsets"
        options["scan.startup.specific-offsets"] = ";".join(
            f"partition:{partition},offset:{offset}"
            for partition, offset in sorted(starts[topic].items())
        )
    t_env.execute_sql(
        f"""CREATE TEMPORARY TABLE {table} (
              {BODY} BYTES,
              {KAFKA_PARTITION} INT METADATA FROM 'partition' VIRTUAL,
              {KAFKA_OFFSET} BIGINT METADATA FROM 'offset' VIRTUAL,
              kafka_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL{event_time}
            ) WITH ({with_options(options)})"""
    )


def _event_time(model: Model) -> str:
    """SQL of the event time column (for feature queries) and its watermark (for windows)."""
    query = model.features.sql
    if query is None:
        return ""
    column = f", {EVENT_TIME} AS {accepted_time_expression(model.input)}"
    if not has_windows(query):
        return column
    late = _interval(query.out_of_order)
    return f"{column}, WATERMARK FOR {EVENT_TIME} AS {EVENT_TIME} - {late}"


def _interval(duration: timedelta) -> str:
    """A duration in SQL; Flink allows two digits of days, and so does the config."""
    minutes, seconds = divmod(duration.seconds, 60)
    time = f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}.{duration.microseconds // 1_000:03}"
    return f"INTERVAL '{duration.days} {time}' DAY TO SECOND(3)"


def _feature_views(t_env: StreamTableEnvironment, model: Model, folder: Path) -> None:
    """Create the view `featured`: every message once, with the columns that the query adds.

    The query rejects and drops no message: that is left to the function that logs them.
    """
    query = model.features.sql
    if query is None:
        _view(t_env, "featured", f"SELECT {BODY}, {POSITION}, FALSE AS {LATE} FROM messages")
    elif has_windows(query):
        _windows(t_env, model, query, folder)
    else:
        _view(t_env, "events", _events(t_env, model, "messages", f"{BODY}, {POSITION}"))
        _view(t_env, "enriched", query.query)
        added = listed(typed_columns(query))
        _view(t_env, "featured", f"SELECT {BODY}, {POSITION}, FALSE AS {LATE}{added} FROM enriched")


def _windows(t_env: StreamTableEnvironment, model: Model, query: Query, folder: Path) -> None:
    """Create the view `featured` for a query with windows.

    Messages that are not events, have no usable time or come too late for the windows bypass them,
    with NULLs.

    Flink's windows drop rows that come after rows of the same key that they have already output;
    after a restart, or when a silent partition resumes, no watermark shows this in advance. So the
    result is joined with all messages: an interval join returns each row of its left side once.
    """
    # the planner assumes that a rowtime is never NULL, so a time that may be NULL needs a column
    known_time = f"CAST({EVENT_TIME} AS TIMESTAMP(3)) AS {KNOWN_TIME}"
    messages = t_env.sql_query(f"SELECT {BODY}, {POSITION}, {known_time} FROM messages")
    time = EVENT_TIME, f"CAST({KNOWN_TIME} AS TIMESTAMP_LTZ(3))"
    t_env.create_temporary_view("timed", always_active(t_env, messages, time, folder))
    _view(t_env, "usable", f"SELECT * FROM timed WHERE {KNOWN_TIME} IS NOT NULL")
    # without bodies, as windows keep the rows that they read in their state
    events = _events(t_env, model, "usable", POSITION)
    _view(t_env, "events", f"{events} WHERE {FIELDS}.{IS_EVENT}")
    _view(t_env, "enriched", query.query)
    columns = (KAFKA_PARTITION, KAFKA_OFFSET, EVENT_TIME)
    same = " AND ".join(f"enriched.{column} = usable.{column}" for column in columns)
    late = f"enriched.{KAFKA_OFFSET} IS NULL"
    typed, nulls = typed_columns(query), null_columns(query)
    if KEEP in typed:  # messages that bypass the windows have none, and are kept
        typed[KEEP], nulls[KEEP] = f"{late} OR {typed[KEEP]}", "TRUE"
    position = f"usable.{KAFKA_PARTITION}, usable.{KAFKA_OFFSET}, usable.kafka_time"
    _view(
        t_env,
        "featured",
        f"""SELECT usable.{BODY}, {position}, {late} AS {LATE}{listed(typed)}
              FROM usable LEFT JOIN enriched ON {same}
            UNION ALL
            SELECT {BODY}, {POSITION}, TRUE AS {LATE}{listed(nulls)}
              FROM timed WHERE {KNOWN_TIME} IS NULL""",
    )


def _events(t_env: StreamTableEnvironment, model: Model, table: str, columns: str) -> str:
    """SQL of the events that the feature query reads."""
    fields = columns_of_fields(model)
    return f"SELECT {columns}, {EVENT_TIME}{fields} FROM ({with_fields(t_env, model, table)})"


def _view(t_env: StreamTableEnvironment, name: str, query: str) -> None:
    t_env.execute_sql(f"CREATE TEMPORARY VIEW {name} AS {query}")


def _publish(
    t_env: StreamTableEnvironment, name: str, model: Model, kafka: Mapping[str, str]
) -> str:
    """SQL that publishes the stored rows; without it the planner would prune the logging."""
    if model.output is None:
        _blackhole_table(t_env, "published", "stored BOOLEAN")
        return "INSERT INTO published SELECT p FROM logged"
    options = {
        "connector": "kafka",
        "topic": model.output.topic,
        "key.format": "raw",
        "key.fields": "event_id",
        "value.format": "json",
        "value.json.timestamp-format.standard": "ISO-8601",
        "sink.delivery-guarantee": model.output.delivery.replace("_", "-"),
        # below the broker's default maximum of 15 minutes, above any checkpoint's timeout
        "properties.transaction.timeout.ms": "840000",
        "properties.max.request.size": "16777216",
        "properties.compression.type": "lz4",
        "properties.linger.ms": "20",
        **{f"properties.{key}": value for key, value in kafka.items()},
    }
    if model.output.delivery == "exactly_once":
        options["sink.transactional-id-prefix"] = f"driftline-{name}"
    t_env.execute_sql(
        f"""CREATE TEMPORARY TABLE published (
              event_id STRING, event_time TIMESTAMP_LTZ(6), model STRING, model_version INT,
              score DOUBLE, outputs STRING
            ) WITH ({with_options(options)})"""
    )
    return f"""INSERT INTO published
        SELECT p.event_id, CAST(p.event_time AS TIMESTAMP_LTZ(6)), '{name}', p.model_version,
               p.score, p.outputs
          FROM logged WHERE p.event_id IS NOT NULL"""


def _blackhole_table(t_env: StreamTableEnvironment, table: str, columns: str) -> None:
    t_env.execute_sql(
        f"CREATE TEMPORARY TABLE {table} ({columns}) WITH ('connector' = 'blackhole')"
    )


def with_options(options: Mapping[str, str]) -> str:
    """Table options as SQL, with quoted values."""
    quoted = (
        f"'{key}' = '{value.replace(chr(39), chr(39) * 2)}'" for key, value in options.items()
    )
    return ", ".join(quoted)
