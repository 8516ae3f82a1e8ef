"""Runs the feature definition over recorded events, for training and reference data.

The SQL, decoder and transform are the stream's; the input is a file of events.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyflink.java_gateway import get_gateway
from pyflink.table import DataTypes, Table, TableEnvironment
from pyflink.table.serializers import ArrowSerializer
from pyflink.table.types import create_arrow_schema
from pyflink.table.udf import FunctionContext, ScalarFunction, udf

from driftline.config import AcceptedTime, Config, Model
from driftline.errors import DriftlineError
from driftline.names import (
    BODY,
    DETAIL,
    EVENT_ID,
    EVENT_TIME,
    FIELDS,
    IS_EVENT,
    KAFKA_OFFSET,
    KAFKA_PARTITION,
    KNOWN_TIME,
    LEFT_OUT,
    REASON,
)
from driftline.streaming.flink.job import flink_settings, table_environment
from driftline.streaming.flink.topology import with_options
from driftline.streaming.history.history import LeftOut
from driftline.streaming.jvm import worker_environment
from driftline.streaming.jvm.gateway import flink_jvm
from driftline.streaming.queries import query_columns
from driftline.streaming.queries.query import listed, null_columns, time_expression, typed_columns
from driftline.streaming.queries.query_fields import FLINK_TYPES, columns_of_fields, with_fields
from driftline.streaming.queries.series import Series, row_of_message, to_series
from driftline.streaming.scoring.decode import ARROW_TYPES, DECODERS, is_tensor
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.rejects import Rejects

_KINDS = {arrow: kind for kind, arrow in ARROW_TYPES.items()}
_BATCH_ROWS = 10_000  # rows per batch that the JVM returns


class GenerateFeatures(ScalarFunction):  # type: ignore[misc]  # pyflink ships no types
    """Decodes a batch and computes its features; a rejected event gets its reason instead."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._definition: FeatureDefinition

    def open(self, _: FunctionContext) -> None:
        """Load the transform, once per worker."""
        worker_environment.complete_environment()
        self._definition = FeatureDefinition(self._model)
        self._decode = DECODERS[self._model.input.decoder](self._model.input)

    def eval(self, body: Series, *added: Series) -> pd.DataFrame:
        """Turn a batch of n lines into n rows of id, time, reason and features."""
        payloads = body.tolist()
        rejects = Rejects(payloads)
        decoded = self._decode(payloads, np.full(len(payloads), np.datetime64(0, "us")), rejects)
        schema = self._definition.added
        messages = pa.array(decoded.messages)
        read = query_columns.read(added, schema, len(payloads))
        columns = [column.take(messages) for column in read]
        events = pa.RecordBatch.from_arrays(
            [*decoded.events.columns, *columns], schema=self._definition.events
        )
        featured = self._definition(events, rejects, decoded.messages)
        index = row_of_message(decoded.messages[featured.rows], len(payloads))
        events, features = events.take(pa.array(featured.rows)), featured.features
        frame = {
            EVENT_ID: events.column(EVENT_ID).take(index),
            EVENT_TIME: events.column(EVENT_TIME).cast(pa.timestamp("us")).take(index),
            **_reasons(rejects, len(payloads)),
            **{name: features.column(name).take(index) for name in features.schema.names},
        }
        return pd.DataFrame({name: to_series(column) for name, column in frame.items()})


def features_of(config: Config, name: str, lines: Path) -> pa.Table:
    """The features of recorded events, as the stream would compute them if none came late.

    Parameters:
        config: with the model `name` in it.
        name: the model.
        lines: a file with one event per line, or a folder of such files.

    Returns:
        event_id, event_time, then the feature columns; one row per event, without filtered ones.

    Raises:
        DriftlineError: none of the lines is a usable event.
    """
    with flink_jvm(config) as local:
        return _features_of(config, name, lines, local)


def _features_of(config: Config, name: str, lines: Path, local: Mapping[str, str]) -> pa.Table:
    model = _any_time(config.model(name))
    definition = FeatureDefinition(model)
    settings = {
        key: value
        for key, value in flink_settings(config, name).items()
        if not key.startswith("execution.checkpointing.")  # a single pass needs none
    } | {"parallelism.default": "1"}
    t_env = table_environment({**local, **settings})
    _view(t_env, model, lines)
    row = DataTypes.ROW(
        [
            DataTypes.FIELD(EVENT_ID, DataTypes.STRING()),
            DataTypes.FIELD(EVENT_TIME, DataTypes.TIMESTAMP(6)),
            DataTypes.FIELD(REASON, DataTypes.STRING()),
            DataTypes.FIELD(DETAIL, DataTypes.STRING()),
            *(DataTypes.FIELD(field.name, _flink_type(field.type)) for field in definition.schema),
        ]
    )
    function = udf(GenerateFeatures(model), result_type=row, func_type="pandas")
    t_env.create_temporary_system_function("generate_features", function)
    added = query_columns.arguments(model.features.sql.columns) if model.features.sql else ""
    columns = [EVENT_ID, EVENT_TIME, REASON, DETAIL, *definition.schema.names]
    selected = ", ".join(f"f.`{column}` AS `{column}`" for column in columns)
    result = t_env.sql_query(
        f"SELECT {selected} FROM (SELECT generate_features({BODY}{added}) AS f FROM featured)"
    )
    return _usable(_collected(result), definition, lines)


def _collected(table: Table) -> pa.Table:
    """Fetch a query's result; copies `Table.to_pandas`, without the last step.

    That step turns whole numbers into floats if any are missing.
    """
    table._t_env._before_execute()
    schema = table.get_schema()
    names, types = schema.get_field_names(), schema.get_field_data_types()
    arrow = create_arrow_schema(names, types)
    utils = get_gateway().jvm.org.apache.flink.table.runtime.arrow.ArrowUtils
    batches = utils.collectAsPandasDataFrame(table._j_table, _BATCH_ROWS)
    if not batches.hasNext():
        return arrow.empty_table()
    serializer = ArrowSerializer(arrow, schema.to_row_data_type(), timezone=None)
    return pa.Table.from_batches(serializer.load_from_iterator(batches))


def _flink_type(kind: pa.DataType) -> Any:
    if is_tensor(kind):
        return DataTypes.ARRAY(DataTypes.FLOAT())
    return FLINK_TYPES[_KINDS[kind]]


def _view(t_env: TableEnvironment, model: Model, lines: Path) -> None:
    """Create the view `featured`: every line, with the columns that the feature query adds."""
    query = model.features.sql
    columns = f"{BODY} BYTES"
    if query is not None:
        time = time_expression(model.input)
        # a watermark only at the end of the file: no event is late, all are processed in order of
        # time; a line without a time gets one, as Flink would fail otherwise
        columns += f""",
              {KAFKA_PARTITION} AS 0,
              {KAFKA_OFFSET} AS CAST(0 AS BIGINT),
              {KNOWN_TIME} AS {time},
              {EVENT_TIME} AS COALESCE({time}, TO_TIMESTAMP_LTZ(0, 3)),
              kafka_time AS {time},
              WATERMARK FOR {EVENT_TIME} AS {EVENT_TIME} - INTERVAL '500' YEAR(3)"""
    options = {"connector": "filesystem", "path": lines.resolve().as_uri(), "format": "raw"}
    t_env.execute_sql(f"CREATE TEMPORARY TABLE messages ({columns}) WITH ({with_options(options)})")
    if query is None:
        t_env.execute_sql(f"CREATE TEMPORARY VIEW featured AS SELECT {BODY} FROM messages")
        return
    t_env.execute_sql(f"CREATE TEMPORARY VIEW decoded AS {with_fields(t_env, model, 'messages')}")
    is_event = f"{KNOWN_TIME} IS NOT NULL AND {FIELDS}.{IS_EVENT}"
    t_env.execute_sql(
        f"""CREATE TEMPORARY VIEW events AS
            SELECT {BODY}, {KAFKA_PARTITION}, {KAFKA_OFFSET}, kafka_time, {EVENT_TIME}
                   {columns_of_fields(model)}
              FROM decoded WHERE {is_event}"""
    )
    t_env.execute_sql(f"CREATE TEMPORARY VIEW enriched AS {query.query}")
    t_env.execute_sql(
        f"""CREATE TEMPORARY VIEW featured AS
            SELECT {BODY}{listed(typed_columns(query))} FROM enriched
            UNION ALL
            SELECT {BODY}{listed(null_columns(query))} FROM decoded WHERE NOT ({is_event})"""
    )


def _any_time(model: Model) -> Model:
    """The model with any event time accepted: recorded events have no Kafka timestamp."""
    accept = AcceptedTime.model_validate({"since": "1900-01-01", "until": "2200-01-01"})
    return model.model_copy(update={"input": model.input.model_copy(update={"accept": accept})})


def _reasons(rejects: Rejects, n: int) -> dict[str, pa.Array]:
    """Reason and detail of each of n lines, null if it was not rejected."""
    batch = rejects.batch()
    index = row_of_message(batch.column("message").to_numpy(), n)
    return {
        name: batch.column(column).take(index)
        for name, column in ((REASON, "reason"), (DETAIL, "detail"))
    }


def _usable(table: pa.Table, definition: FeatureDefinition, lines: Path) -> pa.Table:
    """The rows of events, in order of time; the other lines are counted in the metadata."""
    rows = table.filter(pc.is_valid(table[EVENT_ID]))
    left_out = _left_out(table)
    if not len(rows):
        reasons = "; ".join(map(str, left_out)) or "it is empty"
        raise DriftlineError(f"no usable event in {str(lines)!r}: {reasons}")
    schema = pa.schema(
        [
            pa.field(EVENT_ID, pa.string()),
            pa.field(EVENT_TIME, pa.timestamp("us", tz="UTC")),
            *definition.schema,
        ]
    )
    metadata = {LEFT_OUT: json.dumps([asdict(lines) for lines in left_out])}
    features = rows.select(schema.names).cast(schema).sort_by(EVENT_TIME)
    return features.replace_schema_metadata(metadata)


def _left_out(table: pa.Table) -> list[LeftOut]:
    """The lines without features, by reason, most frequent first."""
    missing = table.filter(pc.is_null(table[EVENT_ID]))
    reasons = pc.fill_null(missing[REASON], "filtered").to_pylist()
    first = dict(zip(reversed(reasons), reversed(missing[DETAIL].to_pylist()), strict=True))
    counts = Counter(reasons).most_common()
    return [LeftOut(reason, lines, first[reason] or "") for reason, lines in counts]


def main() -> None:
    """`python -m driftline.streaming.history.bounded CONFIG MODEL EVENTS PARQUET`."""
    import sys

    from driftline import parquet
    from driftline.config import load

    config, model, events, target = sys.argv[1:]
    parquet.write(features_of(load(Path(config)), model, Path(events)), Path(target))


if __name__ == "__main__":
    main()
