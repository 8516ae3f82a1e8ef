"""The fields of a message that a feature query reads, decoded as for the model.

A message that the decoder rejects is not an event, so windows do not include it.
"""

import numpy as np
import pandas as pd
from pyflink.table import DataTypes, TableEnvironment
from pyflink.table.udf import FunctionContext, ScalarFunction, udf

from driftline.config import FieldType, Model
from driftline.names import BODY, FIELDS, IS_EVENT
from driftline.streaming.jvm import worker_environment
from driftline.streaming.queries.query import listed, mentioned_fields
from driftline.streaming.queries.series import Series, row_of_message, to_series, utc
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.rejects import Rejects

FLINK_TYPES: dict[FieldType, DataTypes] = {
    "int": DataTypes.BIGINT(),
    "float": DataTypes.DOUBLE(),
    "string": DataTypes.STRING(),
    "bool": DataTypes.BOOLEAN(),
}


class ReadFields(ScalarFunction):  # type: ignore[misc]  # pyflink ships no types
    """Decodes a batch: whether each message is an event, and the fields that the query uses."""

    def __init__(self, model: Model) -> None:
        self._input = model.input
        self._names = list(mentioned_fields(model))

    def open(self, _: FunctionContext) -> None:
        """Create the decoder, once per worker."""
        worker_environment.complete_environment()
        self._decode = DECODERS[self._input.decoder](self._input)

    def eval(self, body: Series, kafka_time: Series) -> pd.DataFrame:
        """Turn a batch of n messages into n rows: a bool, and a column for each field."""
        payloads = body.tolist()
        decoded = self._decode(payloads, utc(kafka_time), Rejects(payloads))
        is_event = np.zeros(len(payloads), dtype=bool)
        is_event[decoded.messages] = True
        index = row_of_message(decoded.messages, len(payloads))
        columns = {name: to_series(decoded.events.column(name).take(index)) for name in self._names}
        return pd.DataFrame({IS_EVENT: is_event, **columns})


def with_fields(t_env: TableEnvironment, model: Model, table: str) -> str:
    """SQL that selects all messages of a table, with the result of `ReadFields` as `FIELDS`."""
    row = DataTypes.ROW(
        [
            DataTypes.FIELD(IS_EVENT, DataTypes.BOOLEAN()),
            *(
                DataTypes.FIELD(name, FLINK_TYPES[kind])
                for name, kind in mentioned_fields(model).items()
            ),
        ]
    )
    function = udf(ReadFields(model), result_type=row, func_type="pandas")
    t_env.create_temporary_system_function("read_fields", function)
    return f"SELECT *, read_fields({BODY}, kafka_time) AS {FIELDS} FROM {table}"


def columns_of_fields(model: Model) -> str:
    """SQL of the fields as columns of `with_fields`, each preceded by a comma."""
    return listed({name: f"{FIELDS}.`{name}`" for name in mentioned_fields(model)})
