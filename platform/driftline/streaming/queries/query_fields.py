"""What a feature query reads of a message: the fields as the decoder has them.

A message that the decoder rejects is no event: it has no part in the windows of others.
"""

import numpy as np
import pandas as pd
from pyflink.table import DataTypes, TableEnvironment
from pyflink.table.udf import FunctionContext, ScalarFunction, udf

from driftline.config import FieldType, Model
from driftline.names import BODY, FIELDS, IS_EVENT
from driftline.streaming.jvm import worker_environment
from driftline.streaming.queries.query import listed, mentioned_fields
from driftline.streaming.queries.series import Series, places, to_series, utc
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.rejects import Rejects

FLINK_TYPES: dict[FieldType, DataTypes] = {
    "int": DataTypes.BIGINT(),
    "float": DataTypes.DOUBLE(),
    "string": DataTypes.STRING(),
    "bool": DataTypes.BOOLEAN(),
}


class ReadFields(ScalarFunction):  # type: ignore[misc]  # pyflink ships no types
    """Decodes a batch: which messages are events, and the fields that the query mentions."""

    def __init__(self, model: Model) -> None:
        self._input = model.input
        self._names = list(mentioned_fields(model))

    def open(self, _: FunctionContext) -> None:
        """Make the decoder, once a worker."""
        worker_environment.take_over()
        self._decode = DECODERS[self._input.decoder](self._input)

    def eval(self, body: Series, kafka_time: Series) -> pd.DataFrame:
        """One batch of n messages in, n rows out: a bool, and a column for each field."""
        payloads = body.tolist()
        decoded = self._decode(payloads, utc(kafka_time), Rejects(payloads))
        is_event = np.zeros(len(payloads), dtype=bool)
        is_event[decoded.messages] = True
        index = places(decoded.messages, len(payloads))
        columns = {name: to_series(decoded.events.column(name).take(index)) for name in self._names}
        return pd.DataFrame({IS_EVENT: is_event, **columns})


def with_fields(t_env: TableEnvironment, model: Model, table: str) -> str:
    """SQL that gives each row of a table of messages, and as `FIELDS` what `ReadFields` reads."""
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
    """The fields as columns, in SQL over what `with_fields` gives, each with a comma before it."""
    return listed({name: f"{FIELDS}.`{name}`" for name in mentioned_fields(model)})
