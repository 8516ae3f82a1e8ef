"""CPU time of a shadow, and of a model call through driftline's runtime.

CPU time rather than wall time, so that other load does not affect differences of a millisecond.
Measured in a separate process, where TensorFlow has one thread as in the job's workers.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import events
from benchmarks.bench import Bench, Variant
from driftline.config import load
from driftline.registry.loaders import saved_model
from driftline.streaming.flink.supervise import job_environment
from driftline.streaming.scoring.batch_scorer import BatchScorer, Messages
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.lineup import Lineup, Served

ROWS = 10_000  # messages in a batch
CALL_ROWS = 1_000  # rows in a call of the model

_ROUNDS = 200
_CALLS = 1_000
_SIGNATURE = saved_model.SIGNATURE


@dataclass(frozen=True)
class Scoring:
    """Median CPU times.

    `shadow_ms` covers decoding, features and creating a batch's rows, but not storing them.

    Attributes:
        own_ms: a version's model on a batch.
        shadow_ms: additional time of a batch if that version is a shadow.
        bare_ms: TensorFlow's own call, from tensors to arrays.
        call_ms: a call of the runtime with the same rows.
    """

    own_ms: float
    shadow_ms: float
    bare_ms: float
    call_ms: float

    @property
    def shadow_cost_ratio(self) -> float:
        """Time of a shadow divided by the time of its model."""
        return self.shadow_ms / self.own_ms

    @property
    def overhead_ratio(self) -> float:
        """Time of the runtime's call divided by that of the bare call."""
        return self.call_ms / self.bare_ms


def measure(bench: Bench, variant: Variant) -> Scoring:
    """Score events with and without a shadow; call the model with and without the runtime."""
    paths = (variant.config_path, bench.saved_model, bench.other_model)
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.scoring", variant.name, *map(str, paths)],
        stdout=subprocess.PIPE,
        env=job_environment(variant.config),
        cwd=Path(__file__).parents[1],
        check=True,
    )
    return Scoring(**json.loads(process.stdout))


def main(name: str, config: str, champion: str, shadow: str) -> None:
    """Measure, and print the result as JSON."""
    model = load(Path(config)).model(name)
    definition = FeatureDefinition(model)
    scorer = BatchScorer(DECODERS[model.input.decoder](model.input), definition)
    paths = enumerate((champion, shadow), 1)
    first, second = (Served(number, saved_model.load(Path(path))) for number, path in paths)
    messages = _messages()
    alone, shadowed = Lineup(first), Lineup(first, shadows=(second,))
    features = scorer(messages, shadowed).predictions.select(definition.schema.names)
    own, added = [], []
    for _ in range(_ROUNDS):
        alone_ms = _cpu_ms(lambda: scorer(messages, alone))
        added.append(_cpu_ms(lambda: scorer(messages, shadowed)) - alone_ms)
        own.append(_cpu_ms(lambda: second.runtime.predict(features.slice(0))))
    bare, call = _calls(champion, first, features.slice(0, CALL_ROWS))
    medians = Scoring(*(statistics.median(times) for times in (own, added, bare, call)))
    print(json.dumps(asdict(medians)))


def _calls(path: str, served: Served, features: pa.RecordBatch) -> tuple[list[float], list[float]]:
    """CPU times of single calls, of TensorFlow directly and of the runtime."""
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    serve = loaded.signatures[_SIGNATURE]
    specs: dict[str, Any] = serve.structured_input_signature[1]
    inputs = {
        name: tf.constant(
            features.column(name).to_numpy().reshape(-1, *spec.shape[1:]), dtype=spec.dtype
        )
        for name, spec in specs.items()
    }

    def bare_call() -> dict[str, Any]:
        return {name: tensor.numpy() for name, tensor in serve(**inputs).items()}

    bare, call = [], []
    for _ in range(_CALLS):
        bare.append(_cpu_ms(bare_call))
        # a slice is a new batch, so nothing is reused from the previous call
        call.append(_cpu_ms(lambda: served.runtime.predict(features.slice(0))))
    return bare, call


def _messages() -> Messages:
    values = [value for _, _, value in events.messages(ROWS)]
    at = np.datetime64(events.START_MS, "ms").astype("datetime64[us]")
    return Messages(
        payloads=values,
        partition=np.zeros(ROWS, np.int32),
        offset=np.arange(ROWS),
        kafka_time=np.full(ROWS, at),
        late=np.zeros(ROWS, dtype=bool),
        added=pa.RecordBatch.from_struct_array(pa.array([{}] * ROWS, pa.struct([]))),
    )


def _cpu_ms(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return (time.process_time() - start) * 1_000


if __name__ == "__main__":
    main(*sys.argv[1:])
