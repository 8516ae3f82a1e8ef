"""The job's topology, on one screen: topics in, the logging functions, topics out."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pyflink.table import StatementSet, TableEnvironment

from driftline.config import Config, Model, Query
from driftline.names import (
    BODY,
    EVENT_TIME,
    IS_LATE,
    KAFKA_OFFSET,
    KAFKA_PARTITION,
    KEEP,
    KNOWN_TIME,
    LATE,
)
from driftline.streaming.connector import java_properties
from driftline.streaming.functions import log_labels, log_predictions
from driftline.streaming.query import (
    SQL_TYPES,
    accepted_time_expression,
    has_windows,
    query_fields,
)
from driftline.streaming.query_columns import arguments

Offsets = Mapping[int, int]  # partition -> first offset to read

POSITION = f"{KAFKA_PARTITION}, {KAFKA_OFFSET}, kafka_time"


def build(
    t_env: TableEnvironment, config: Config, name: str, starts: Mapping[str, Offsets]
) -> StatementSet:
    """The statements of a model's job.

    Parameters:
        t_env: a streaming table environment.
        config: with the model `name` in it.
        starts: topic -> where to begin when no checkpoint says so.
    """
    model = config.model(name)
    kafka = java_properties(config.local_kafka())
    statements = t_env.create_statement_set()

    _source(t_env, "messages", model.input.topic, kafka, starts, event_time=_event_time(model))
    _feature_views(t_env, model)
    t_env.create_temporary_system_function("log_predictions", log_predictions(config, name))
    query = model.features.sql
    added = arguments(query.columns) if query is not None else ""
    # the planner would push the function below a UNION, and so load the model twice; it leaves
    # it above an UNNEST that the call depends on
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
        _hole(t_env, "labelled", "logged BOOLEAN")
        statements.add_insert_sql(
            f"INSERT INTO labelled SELECT log_labels({BODY}, {POSITION}) FROM label_messages"
        )
    return statements


def _source(
    t_env: TableEnvironment,
    table: str,
    topic: str,
    kafka: Mapping[str, str],
    starts: Mapping[str, Offsets],
    *,
    event_time: str = "",
) -> None:
    """A topic as raw bytes with their positions."""
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
              kafka_time TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL
              {event_time}
            ) WITH ({with_options(options)})"""
    )


def _event_time(model: Model) -> str:
    """The event time column and its watermark, for feature queries with windows."""
    query = model.features.sql
    if query is None:
        return ""
    return f""",
              {EVENT_TIME} AS {accepted_time_expression(model.input)},
              WATERMARK FOR {EVENT_TIME} AS {EVENT_TIME} - {_interval(query.out_of_order)}"""


def _interval(duration: timedelta) -> str:
    """Flink takes days of at most two digits; the config allows no more."""
    hours, rest = divmod(duration.seconds, 3_600)
    minutes, seconds = divmod(rest, 60)
    time = f"{hours:02}:{minutes:02}:{seconds:02}.{duration.microseconds // 1_000:03}"
    return f"INTERVAL '{duration.days} {time}' DAY TO SECOND(3)"


def _feature_views(t_env: TableEnvironment, model: Model) -> None:
    """`featured`: every message once, with the columns that the feature query adds.

    The query decides no message's fate: what has no usable time, or what its windows drop for
    coming too late, goes around it with NULLs. The function that logs judges all alike.
    """
    query = model.features.sql
    if query is None:
        t_env.execute_sql(
            f"""CREATE TEMPORARY VIEW featured AS
                SELECT {BODY}, {POSITION}, FALSE AS {LATE} FROM messages"""
        )
        return
    # to the planner no row has a NULL rowtime; what comes out of an UNNEST may be NULL
    t_env.execute_sql(
        f"""CREATE TEMPORARY VIEW timed AS
            SELECT {BODY}, {POSITION}, {EVENT_TIME}, {KNOWN_TIME}
              FROM messages CROSS JOIN UNNEST(ARRAY[CAST({EVENT_TIME} AS TIMESTAMP(3))])
                AS once ({KNOWN_TIME})"""
    )
    t_env.execute_sql(
        f"CREATE TEMPORARY VIEW usable AS SELECT * FROM timed WHERE {KNOWN_TIME} IS NOT NULL"
    )
    windows = has_windows(query)
    t_env.execute_sql(f"CREATE TEMPORARY VIEW events AS {_events(model, with_body=not windows)}")
    t_env.execute_sql(f"CREATE TEMPORARY VIEW enriched AS {query.query}")
    # whether to keep what has no columns is not known: it is kept
    nulls = "".join(
        ", TRUE" if column == KEEP else f", CAST(NULL AS {SQL_TYPES[kind]})"
        for column, kind in query.columns.items()
    )
    t_env.execute_sql(
        f"""CREATE TEMPORARY VIEW featured AS
            {_enriched(query, windows=windows)}
            UNION ALL
            SELECT {BODY}, {POSITION}, TRUE AS {LATE}{nulls}
              FROM timed WHERE {KNOWN_TIME} IS NULL"""
    )


def _events(model: Model, *, with_body: bool) -> str:
    """What the feature query reads. Windows hold what they read: they need no bodies."""
    fields = query_fields(model)
    columns = f"{f'{BODY}, ' if with_body else ''}{POSITION}, {EVENT_TIME}"
    if not fields:
        return f"SELECT {columns} FROM usable"
    named = ", ".join(f"`{name}`" for name in fields)
    # once a message: the planner repeats an expression wherever it is used, but not an UNNEST
    return f"""SELECT {columns}, {named}
                 FROM usable CROSS JOIN UNNEST(ARRAY[ROW({", ".join(fields.values())})])
                   AS once ({named})"""


def _enriched(query: Query, *, windows: bool) -> str:
    """Each event once, with what the query gave it or, when its windows dropped it, with NULLs.

    Flink's windows drop what comes behind rows of the same key that they have given already; after
    a restart, or when one of several readers wakes up late, no watermark tells beforehand. An
    interval join gives each row of its left side exactly once.
    """
    event, source, late = "enriched", "enriched", "FALSE"
    if windows:
        same = " AND ".join(
            f"enriched.{column} = usable.{column}"
            for column in (KAFKA_PARTITION, KAFKA_OFFSET, EVENT_TIME)
        )
        event, source = "usable", f"usable LEFT JOIN enriched ON {same}"
        late = f"enriched.{KAFKA_OFFSET} IS NULL"
    added = {
        column: f"CAST(enriched.`{column}` AS {SQL_TYPES[kind]})"
        for column, kind in query.columns.items()
    }
    if KEEP in added:
        added[KEEP] = f"{late} OR {added[KEEP]}"
    typed = "".join(f", {value} AS `{column}`" for column, value in added.items())
    position = f"{event}.{KAFKA_PARTITION}, {event}.{KAFKA_OFFSET}, {event}.kafka_time"
    return f"SELECT {event}.{BODY}, {position}, {late} AS {LATE}{typed} FROM {source}"


def _publish(t_env: TableEnvironment, name: str, model: Model, kafka: Mapping[str, str]) -> str:
    """The insert that publishes the stored rows; it also keeps the planner from pruning the log."""
    if model.output is None:
        _hole(t_env, "published", "stored BOOLEAN")
        return "INSERT INTO published SELECT p FROM logged"
    options = {
        "connector": "kafka",
        "topic": model.output.topic,
        "key.format": "raw",
        "key.fields": "event_id",
        "value.format": "json",
        "value.json.timestamp-format.standard": "ISO-8601",
        "sink.delivery-guarantee": model.output.delivery.replace("_", "-"),
        # below the broker's usual maximum of 15 minutes, above any checkpoint
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


def _hole(t_env: TableEnvironment, table: str, columns: str) -> None:
    t_env.execute_sql(
        f"CREATE TEMPORARY TABLE {table} ({columns}) WITH ('connector' = 'blackhole')"
    )


def with_options(options: Mapping[str, str]) -> str:
    """Table options as SQL, values quoted."""
    quoted = (
        f"'{key}' = '{value.replace(chr(39), chr(39) * 2)}'" for key, value in options.items()
    )
    return ", ".join(quoted)
