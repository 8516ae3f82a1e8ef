"""The functions that Flink calls with Arrow batches; they have effects, so each is called once.

Flink finishes its Python bundle before a checkpoint passes, so what a function has committed
before it returns is never behind a checkpoint.
"""

import gc
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyflink.table import DataTypes
from pyflink.table.udf import FunctionContext, ScalarFunction, UserDefinedScalarFunctionWrapper, udf

from driftline.config import Config
from driftline.records import PUBLISHED, ScoredBatch, StoredBatch
from driftline.registry.trials import Trials
from driftline.streaming.flink import metrics
from driftline.streaming.jvm import worker_environment
from driftline.streaming.queries import query_columns
from driftline.streaming.queries.series import Series, places, utc
from driftline.streaming.rollout.crash_guard import CrashGuard
from driftline.streaming.rollout.follow import Follower
from driftline.streaming.rollout.serving import Serving
from driftline.streaming.rollout.watchdog import Watchdog
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.labels import LabelLog
from driftline.streaming.scoring.process import Messages, Process
from driftline.streaming.scoring.version_fault import UnfitError
from driftline.streaming.sinks import SINKS, Sink
from driftline.streaming.startup_error import told

PUBLISHED_ROW = DataTypes.ROW(
    [
        DataTypes.FIELD("event_time", DataTypes.TIMESTAMP(6)),
        DataTypes.FIELD("event_id", DataTypes.STRING()),
        DataTypes.FIELD("model_version", DataTypes.INT()),
        DataTypes.FIELD("score", DataTypes.DOUBLE()),
        DataTypes.FIELD("outputs", DataTypes.STRING()),
    ]
)


class LogPredictions(ScalarFunction):  # type: ignore[misc]  # pyflink ships no types
    """Decodes, scores and logs a batch.

    Gives the stored rows, NULL where none is stored; without an output topic only whether one is
    stored, because carrying the rows back to the JVM costs a tenth of the speed.
    """

    def __init__(self, config: Config, model: str) -> None:
        self._config = config
        self._name = model
        self._process: Process
        self._serving: Serving
        self._watchdog: Watchdog
        self._crash_guard: CrashGuard
        self._follower: Follower
        self._sink: Sink
        self._definition: FeatureDefinition

    def is_deterministic(self) -> bool:
        """It writes: the planner may neither repeat nor fold a call."""
        return False

    def open(self, context: FunctionContext) -> None:
        """Load the model and reach the database, once a worker."""
        worker_environment.take_over()
        with told(self._config, self._name):
            self._open()
        metrics.announce(context, self._name, self._serving, self._follower)

    def _open(self) -> None:
        model = self._config.model(self._name)
        self._definition = FeatureDefinition(model)
        schema, digest = self._definition.schema, self._definition.digest
        self._serving = Serving(self._config, self._name, schema, digest)
        self._watchdog = Watchdog(
            model.registry.hang,
            self._serving.give_up,
            predictions=model.registry.serving is None,
        )
        self._process = Process(
            DECODERS[model.input.decoder](model.input),
            self._definition,
            self._watchdog,
            model.registry.slow,
        )
        self._crash_guard = CrashGuard(self._config, self._name, self._serving)
        self._sink = SINKS["timescaledb"](self._config, self._name, self._serving.binning_of)
        gc.freeze()  # what is loaded stays: to look for garbage in TensorFlow takes long
        trials = Trials(self._config.folder("models"), model.registry, schema)
        self._follower = Follower(self._config, self._name, self._serving, trials)

    def close(self) -> None:
        """Let go of the database and the registry."""
        for name in ("_follower", "_watchdog", "_crash_guard", "_sink"):
            part = getattr(self, name, None)
            if part is not None:
                part.close()

    def eval(
        self,
        body: Series,
        partition: Series,
        offset: Series,
        kafka_time: Series,
        late: Series | bool,
        *added: Series,
    ) -> "pd.DataFrame | Series":
        """One batch of n messages in, n rows of `PUBLISHED_ROW` or n bools out."""
        messages = Messages(
            payloads=body.tolist(),
            partition=partition.to_numpy(np.int32),
            offset=offset.to_numpy(np.int64),
            kafka_time=utc(kafka_time),
            late=np.broadcast_to(np.asarray(late, dtype=bool), len(body)),  # or one literal
            added=self._added(added, len(body)),
        )
        stored = self._sink.write(self._crash_guard.score(messages, self._scored))
        if self._config.model(self._name).output is None:
            return _is_stored(stored, len(body))
        return _published(stored, len(body))

    def _scored(self, messages: Messages) -> ScoredBatch:
        """Score a batch, again without a version that turns out unfit."""
        while True:
            try:
                return self._process(messages, self._serving.lineup())
            except UnfitError as error:
                self._serving.bar(error.version, error.reason, error.detail)

    def _added(self, columns: tuple[Series, ...], n: int) -> pa.RecordBatch:
        schema = self._definition.added
        if not columns:  # a batch without columns has no rows either; keep the count
            return pa.RecordBatch.from_struct_array(pa.array([{}] * n, pa.struct([])))
        return pa.RecordBatch.from_arrays(query_columns.read(columns, schema, n), schema=schema)


class LogLabels(ScalarFunction):  # type: ignore[misc]  # pyflink ships no types
    """Decodes and logs a batch of labels; gives True for each that is stored now or was before."""

    def __init__(self, config: Config, model: str) -> None:
        self._config = config
        self._name = model
        self._log: LabelLog

    def is_deterministic(self) -> bool:
        """It writes: the planner may neither repeat nor fold a call."""
        return False

    def open(self, _: FunctionContext) -> None:
        """Reach the database, once a worker."""
        worker_environment.take_over()
        with told(self._config, self._name):
            self._log = LabelLog(self._config, self._name)

    def close(self) -> None:
        """Let go of the database."""
        if hasattr(self, "_log"):
            self._log.close()

    def eval(self, body: Series, partition: Series, offset: Series, kafka_time: Series) -> Series:
        """One batch of n messages in, bool[n] out."""
        stored = self._log.write(
            body.tolist(),
            partition.to_numpy(np.int32),
            offset.to_numpy(np.int64),
            utc(kafka_time),
        )
        return pd.Series(stored)


def log_predictions(config: Config, model: str) -> UserDefinedScalarFunctionWrapper:
    """`LogPredictions` as Flink registers it."""
    result = DataTypes.BOOLEAN() if config.model(model).output is None else PUBLISHED_ROW
    return _vectorised(LogPredictions(config, model), result)


def log_labels(config: Config, model: str) -> UserDefinedScalarFunctionWrapper:
    """`LogLabels` as Flink registers it."""
    return _vectorised(LogLabels(config, model), DataTypes.BOOLEAN())


def _vectorised(function: ScalarFunction, result: Any) -> UserDefinedScalarFunctionWrapper:
    return udf(function, result_type=result, func_type="pandas", deterministic=False)


def _is_stored(stored: StoredBatch, n: int) -> Series:
    """Which of n messages have a stored row."""
    found = np.zeros(n, dtype=bool)
    found[stored.messages] = True
    return pd.Series(found)


def _published(stored: StoredBatch, n: int) -> pd.DataFrame:
    """The stored rows at the places of their messages, None elsewhere."""
    index = places(stored.messages, n)
    frame = {
        name: stored.predictions.column(name).take(index)
        for name in (field.name for field in PUBLISHED)
    }
    frame["event_time"] = frame["event_time"].cast(pa.timestamp("us"))
    return pd.DataFrame({name: column.to_pandas() for name, column in frame.items()})
