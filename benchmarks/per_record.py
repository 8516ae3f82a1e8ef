"""A PyFlink DataStream as in most tutorials: one prediction and one INSERT per record.

Faster than most tutorials: it calls the SavedModel's signature instead of `keras.predict`, which
takes 60 to 100 ms per call, and uses one open connection and a prepared statement.

Run: `python -m benchmarks.per_record CONFIG MODEL SAVED_MODEL`; it reads until it is stopped.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyflink.common import SimpleStringSchema, WatermarkStrategy
from pyflink.datastream import MapFunction, RuntimeContext, StreamExecutionEnvironment
from pyflink.datastream.connectors.kafka import KafkaOffsetsInitializer, KafkaSource

from benchmarks.events import FIELDS, NUMBERS
from benchmarks.plain_loop import COLUMNS
from driftline import names
from driftline.config import Config, load
from driftline.services.jars import flink_connector_jars
from driftline.storage.connection import connect
from driftline.streaming.flink.connector import java_properties


class Predict(MapFunction):  # type: ignore[misc] # pyflink is untyped
    """Adds the score to an event."""

    def __init__(self, saved_model: str) -> None:
        self._path = saved_model

    def open(self, _: RuntimeContext) -> None:
        """Load the model."""
        import tensorflow as tf

        self._constant = tf.constant
        self._model = tf.saved_model.load(self._path)
        self._signature = self._model.signatures["serving_default"]

    def map(self, value: str) -> dict[str, Any]:
        """Score an event."""
        event: dict[str, Any] = json.loads(value)
        inputs = {name: self._constant([[event[name]]], "float32") for name in NUMBERS}
        (output,) = self._signature(**inputs).values()
        return {**event, "score": float(output.numpy()[0, 0])}


class Insert(MapFunction):  # type: ignore[misc] # pyflink is untyped
    """Inserts a scored event as one committed row."""

    def __init__(self, config: Config, model: str) -> None:
        self._config = config
        columns = [name for name in COLUMNS if name not in FIELDS] + list(FIELDS)
        self._statement = (
            f"INSERT INTO {names.SCHEMA}.{names.prediction_table(model)} ({', '.join(columns)})"
            f" VALUES ({', '.join(['%s'] * len(columns))})"
        )

    def open(self, _: RuntimeContext) -> None:
        """Connect; each statement is committed."""
        self._connection = connect(self._config.local_postgres(), "write", autocommit=True)

    def map(self, event: dict[str, Any]) -> str:
        """Insert an event."""
        now = datetime.now(UTC)
        at = datetime.fromtimestamp(event["at"] / 1_000, UTC)
        head = (at, event["id"], 1, names.CHAMPION, event["score"], False, 0, 0, now, now, 0.0, 0.0)
        values = (*head, *(event[name] for name in FIELDS))
        self._connection.execute(self._statement, values, prepare=True)
        return str(event["id"])


def main(config_path: str, model: str, saved_model: str) -> None:
    """Read the model's topic and fill its table."""
    config = load(Path(config_path))
    environment = StreamExecutionEnvironment.get_execution_environment()
    environment.set_parallelism(1)
    jars = sorted(flink_connector_jars(lambda _: None).rglob("*.jar"))
    environment.add_jars(*(jar.resolve().as_uri() for jar in jars))
    environment.set_python_executable(sys.executable)
    source = (
        KafkaSource.builder()
        .set_topics(config.model(model).input.topic)
        .set_group_id(model)
        .set_properties(dict(java_properties(config.local_kafka())))
        .set_starting_offsets(KafkaOffsetsInitializer.earliest())
        .set_value_only_deserializer(SimpleStringSchema())
        .build()
    )
    events = environment.from_source(source, WatermarkStrategy.no_watermarks(), "events")
    events.map(Predict(saved_model)).map(Insert(config, model)).print()
    environment.execute(model)


if __name__ == "__main__":
    main(*sys.argv[1:])
