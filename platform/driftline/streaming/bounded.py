"""The feature definition over history, as one bounded run: what training and references use.

The same SQL, the same decoder and the same transform as the stream, over a file of events.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyflink.table import DataTypes, TableEnvironment
from pyflink.table.udf import FunctionContext, ScalarFunction, udf

from driftline.config import AcceptedTime, Config, Model
from driftline.errors import DriftlineError
from driftline.names import EVENT_ID, EVENT_TIME, KAFKA_OFFSET, KAFKA_PARTITION
from driftline.streaming import worker_environment
from driftline.streaming.decode import ARROW_TYPES, DECODERS, is_tensor
from driftline.streaming.features import FeatureDefinition
from driftline.streaming.job import flink_settings, table_environment
from driftline.streaming.jvm import flink_jvm
from driftline.streaming.query import SQL_TYPES, query_fields, time_expression
from driftline.streaming.rejects import Rejects
from driftline.streaming.topology import with_options

if TYPE_CHECKING:
    Series = pd.Series[Any]
else:  # pandas' own class takes no parameters at run time
    Series = pd.Series

_FLINK_TYPES = {
    "int": DataTypes.BIGINT(),
    "float": DataTypes.DOUBLE(),
    "string": DataTypes.STRING(),
    "bool": DataTypes.BOOLEAN(),
}
_KINDS = {arrow: kind for kind, arrow in ARROW_TYPES.items()}
REASON = "reject_reason"


class MakeFeatures(ScalarFunction):  # type: ignore[misc]  # pyflink ships no types
    """Decodes a batch and makes its features; a bad event gives its reason instead."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._definition: FeatureDefinition

    def open(self, _: FunctionContext) -> None:
        """Load the transform, once a worker."""
        worker_environment.take_over()
        self._definition = FeatureDefinition(self._model)
        self._decode = DECODERS[self._model.input.decoder](self._model.input)

    def eval(self, body: Series, *added: Series) -> pd.DataFrame:
        """One batch of n lines in, n rows of id, time, reason and features out."""
        payloads = body.tolist()
        rejects = Rejects(payloads)
        decoded = self._decode(payloads, np.full(len(payloads), np.datetime64(0, "us")), rejects)
        schema = self._definition.added
        columns = [
            pa.array(column, field.type, from_pandas=True).take(pa.array(decoded.messages))
            for column, field in zip(added, schema, strict=True)
        ]
        events = pa.RecordBatch.from_arrays(
            [*decoded.events.columns, *columns], schema=self._definition.events
        )
        made = self._definition(events, rejects, decoded.messages)
        at = np.full(len(payloads), -1, dtype=np.int64)
        at[decoded.messages[made.rows]] = np.arange(len(made.rows))
        index = pa.array(at, mask=at < 0)
        chosen = events.take(pa.array(made.rows))
        frame = {
            EVENT_ID: chosen.column(EVENT_ID).take(index),
            EVENT_TIME: chosen.column(EVENT_TIME).cast(pa.timestamp("us")).take(index),
            REASON: _reasons(rejects, len(payloads)),
            **{name: made.features.column(name).take(index) for name in made.features.schema.names},
        }
        return pd.DataFrame({name: _to_pandas(column) for name, column in frame.items()})


def features_of(config: Config, name: str, lines: Path) -> pa.Table:
    """The features of recorded events, as the stream would make them if none came late.

    Parameters:
        config: with the model `name` in it.
        name: the model.
        lines: a file with one event a line, or a folder of such files.

    Returns:
        event_id, event_time, then the feature columns; a row for each event that was kept.

    Raises:
        DriftlineError: not one of the lines is a usable event.
    """
    with flink_jvm(config) as local:
        return _features_of(config, name, lines, local)


def _features_of(config: Config, name: str, lines: Path, local: Mapping[str, str]) -> pa.Table:
    model = _any_time(config.model(name))
    definition = FeatureDefinition(model)
    settings = {
        key: value
        for key, value in flink_settings(config, name).items()
        if not key.startswith("execution.checkpointing.")  # one pass, nothing to resume
    } | {"parallelism.default": "1"}
    t_env = table_environment({**local, **settings})
    _view(t_env, model, lines)
    row = DataTypes.ROW(
        [
            DataTypes.FIELD(EVENT_ID, DataTypes.STRING()),
            DataTypes.FIELD(EVENT_TIME, DataTypes.TIMESTAMP(6)),
            DataTypes.FIELD(REASON, DataTypes.STRING()),
            *(DataTypes.FIELD(field.name, _flink_type(field.type)) for field in definition.schema),
        ]
    )
    function = udf(MakeFeatures(model), result_type=row, func_type="pandas")
    t_env.create_temporary_system_function("make_features", function)
    added = "".join(f", `{column}`" for column in definition.added.names)
    columns = [EVENT_ID, EVENT_TIME, REASON, *definition.schema.names]
    chosen = ", ".join(f"f.`{column}` AS `{column}`" for column in columns)
    result = t_env.sql_query(
        f"SELECT {chosen} FROM (SELECT make_features(body{added}) AS f FROM featured)"
    )
    return _checked(result.to_pandas(), definition, lines)


def _flink_type(kind: pa.DataType) -> Any:
    if is_tensor(kind):
        return DataTypes.ARRAY(DataTypes.FLOAT())
    return _FLINK_TYPES[_KINDS[kind]]


def _view(t_env: TableEnvironment, model: Model, lines: Path) -> None:
    """`featured`: every line, with the columns that the feature query adds."""
    query = model.features.sql
    columns = "body BYTES"
    if query is not None:
        # no watermark until the end of the file: nothing is late, all comes out in order of time
        columns += f""",
              {KAFKA_PARTITION} AS 0,
              {KAFKA_OFFSET} AS CAST(0 AS BIGINT),
              {EVENT_TIME} AS {time_expression(model.input)},
              kafka_time AS {time_expression(model.input)},
              WATERMARK FOR {EVENT_TIME} AS {EVENT_TIME} - INTERVAL '500' YEAR(3)"""
    options = {"connector": "filesystem", "path": lines.resolve().as_uri(), "format": "raw"}
    t_env.execute_sql(f"CREATE TEMPORARY TABLE messages ({columns}) WITH ({with_options(options)})")
    if query is None:
        t_env.execute_sql("CREATE TEMPORARY VIEW featured AS SELECT body FROM messages")
        return
    on_time = f"{EVENT_TIME} IS NOT NULL"
    fields = "".join(f", {text} AS `{name}`" for name, text in query_fields(model).items())
    t_env.execute_sql(
        f"""CREATE TEMPORARY VIEW events AS
            SELECT body, {KAFKA_PARTITION}, {KAFKA_OFFSET}, kafka_time, {EVENT_TIME}{fields}
              FROM messages WHERE {on_time}"""
    )
    t_env.execute_sql(f"CREATE TEMPORARY VIEW enriched AS {query.query}")
    typed = "".join(
        f", CAST(`{column}` AS {SQL_TYPES[kind]}) AS `{column}`"
        for column, kind in query.columns.items()
    )
    nulls = "".join(f", CAST(NULL AS {SQL_TYPES[kind]})" for kind in query.columns.values())
    t_env.execute_sql(
        f"""CREATE TEMPORARY VIEW featured AS SELECT body{typed} FROM enriched
            UNION ALL SELECT body{nulls} FROM messages WHERE NOT ({on_time})"""
    )


def _any_time(model: Model) -> Model:
    """History has no Kafka timestamp to be near to."""
    accept = AcceptedTime.model_validate({"since": "1900-01-01", "until": "2200-01-01"})
    return model.model_copy(update={"input": model.input.model_copy(update={"accept": accept})})


def _reasons(rejects: Rejects, n: int) -> pa.Array:
    reasons: list[str | None] = [None] * n
    for reject in rejects.batch().to_pylist():
        reasons[reject["message"]] = reject["reason"]
    return pa.array(reasons, pa.string())


def _to_pandas(column: pa.Array) -> Series:
    """Whole numbers and bools keep their type beside missing ones."""
    if pa.types.is_timestamp(column.type) or not column.null_count:
        plain: Series = column.to_pandas()
        return plain
    return pd.Series(column.to_pylist(), dtype=object)


def _checked(frame: pd.DataFrame, definition: FeatureDefinition, lines: Path) -> pa.Table:
    good = frame[frame[EVENT_ID].notna()].drop(columns=REASON)
    if good.empty:
        reasons = frame[REASON].value_counts().head(3).to_dict()
        raise DriftlineError(f"no usable event in {str(lines)!r}: {reasons or 'it is empty'}")
    schema = pa.schema(
        [
            pa.field(EVENT_ID, pa.string()),
            pa.field(EVENT_TIME, pa.timestamp("us", tz="UTC")),
            *definition.schema,
        ]
    )
    columns = [pa.array(good[field.name], field.type, from_pandas=True) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema).sort_by(EVENT_TIME)


def main() -> None:
    """`python -m driftline.streaming.bounded CONFIG MODEL EVENTS PARQUET`."""
    import sys  # noqa: PLC0415

    from driftline import parquet  # noqa: PLC0415
    from driftline.config import load  # noqa: PLC0415

    config, model, events, target = sys.argv[1:]
    parquet.write(features_of(load(Path(config)), model, Path(events)), Path(target))


if __name__ == "__main__":
    main()
