"""The functions that Flink calls with Arrow batches; they write, so each is called exactly once.

Flink finishes its Python bundle before it takes a checkpoint, so a checkpoint never covers messages
that a function has not committed.
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
from driftline.registry.shared_preflight import SharedPreflight
from driftline.streaming.flink import metrics
from driftline.streaming.jvm import worker_environment
from driftline.streaming.queries import query_columns
from driftline.streaming.queries.series import Series, row_of_message, utc
from driftline.streaming.rollout.crash_guard import CrashGuard
from driftline.streaming.rollout.registry_watcher import RegistryWatcher
from driftline.streaming.rollout.serving import Serving
from driftline.streaming.rollout.watchdog import Watchdog
from driftline.streaming.scoring.batch_scorer import BatchScorer, Messages
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.labels import LabelLog
from driftline.streaming.scoring.version_fault import FaultyVersionError
from driftline.streaming.sinks import SINKS, Sink
from driftline.streaming.startup_error import recorded_startup_error

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
    """Decodes, scores and stores a batch.

    Returns the stored row of each message, or NULL; without an output topic only whether there is
    one, because passing the rows back to the JVM costs a tenth of the throughput.
    """

    def __init__(self, config: Config, model: str) -> None:
        self._config = config
        self._name = model
        self._score_batch: BatchScorer
        self._serving: Serving
        self._watchdog: Watchdog
        self._crash_guard: CrashGuard
        self._registry_watcher: RegistryWatcher
        self._sink: Sink
        self._definition: FeatureDefinition

    def is_deterministic(self) -> bool:
        """False, as it writes: the planner must not repeat or merge calls."""
        return False

    def open(self, context: FunctionContext) -> None:
        """Load the model and connect to the database, once per worker."""
        worker_environment.complete_environment()
        with recorded_startup_error(self._config, self._name):
            self._open()
        metrics.add(context, self._name, self._serving, self._registry_watcher)

    def _open(self) -> None:
        model = self._config.model(self._name)
        self._definition = FeatureDefinition(model)
        schema, digest = self._definition.schema, self._definition.digest
        self._serving = Serving(self._config, self._name, schema, digest)
        self._watchdog = Watchdog(
            model.registry.batch_timeout,
            self._serving.end_hung_worker,
            predictions=model.registry.serving is None,
        )
        self._score_batch = BatchScorer(
            DECODERS[model.input.decoder](model.input),
            self._definition,
            self._watchdog,
            model.registry.max_slowdown,
        )
        self._crash_guard = CrashGuard(self._config, self._name, self._serving)
        self._sink = SINKS["timescaledb"](self._config, self._name, self._serving.binning_of)
        gc.freeze()  # excludes what is loaded from garbage collection, which is slow for TensorFlow
        preflight = SharedPreflight(self._config.folder("models"), model.registry, schema)
        self._registry_watcher = RegistryWatcher(self._config, self._name, self._serving, preflight)

    def close(self) -> None:
        """Disconnect from the database and the registry."""
        for name in ("_registry_watcher", "_watchdog", "_crash_guard", "_sink"):
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
        """Score and store a batch of n messages; returns n rows of `PUBLISHED_ROW`, or n bools."""
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
        """Score a batch; if a version turns out faulty, score it again without that version."""
        while True:
            try:
                return self._score_batch(messages, self._serving.lineup())
            except FaultyVersionError as error:
                self._serving.exclude(error.version, error.reason, error.detail)

    def _added(self, columns: tuple[Series, ...], n: int) -> pa.RecordBatch:
        schema = self._definition.added
        if not columns:  # from_arrays without columns would have no rows
            return pa.RecordBatch.from_struct_array(pa.array([{}] * n, pa.struct([])))
        return pa.RecordBatch.from_arrays(query_columns.read(columns, schema, n), schema=schema)


class LogLabels(ScalarFunction):  # type: ignore[misc]  # pyflink ships no types
    """Decodes and stores a batch of labels; returns for each message whether it is stored."""

    def __init__(self, config: Config, model: str) -> None:
        self._config = config
        self._name = model
        self._log: LabelLog

    def is_deterministic(self) -> bool:
        """False, as it writes: the planner must not repeat or merge calls."""
        return False

    def open(self, _: FunctionContext) -> None:
        """Connect to the database, once per worker."""
        worker_environment.complete_environment()
        with recorded_startup_error(self._config, self._name):
            self._log = LabelLog(self._config, self._name)

    def close(self) -> None:
        """Disconnect from the database."""
        if hasattr(self, "_log"):
            self._log.close()

    def eval(self, body: Series, partition: Series, offset: Series, kafka_time: Series) -> Series:
        """Store a batch of n messages; returns bool[n]."""
        stored = self._log.write(
            body.tolist(),
            partition.to_numpy(np.int32),
            offset.to_numpy(np.int64),
            utc(kafka_time),
        )
        return pd.Series(stored)


def log_predictions(config: Config, model: str) -> UserDefinedScalarFunctionWrapper:
    """`LogPredictions` as a function to register with Flink."""
    result = DataTypes.BOOLEAN() if config.model(model).output is None else PUBLISHED_ROW
    return _vectorised(LogPredictions(config, model), result)


def log_labels(config: Config, model: str) -> UserDefinedScalarFunctionWrapper:
    """`LogLabels` as a function to register with Flink."""
    return _vectorised(LogLabels(config, model), DataTypes.BOOLEAN())


def _vectorised(function: ScalarFunction, result: Any) -> UserDefinedScalarFunctionWrapper:
    return udf(function, result_type=result, func_type="pandas", deterministic=False)


def _is_stored(stored: StoredBatch, n: int) -> Series:
    """Whether each of n messages has a stored row, bool[n]."""
    mask = np.zeros(n, dtype=bool)
    mask[stored.messages] = True
    return pd.Series(mask)


def _published(stored: StoredBatch, n: int) -> pd.DataFrame:
    """The stored row of each of n messages, or None."""
    index = row_of_message(stored.messages, n)
    frame = {
        name: stored.predictions.column(name).take(index)
        for name in (field.name for field in PUBLISHED)
    }
    frame["event_time"] = frame["event_time"].cast(pa.timestamp("us"))
    return pd.DataFrame({name: column.to_pandas() for name, column in frame.items()})
