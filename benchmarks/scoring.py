"""What a shadow and driftline's way of calling a model cost, in CPU time of one process.

CPU time, not the clock: what else the machine does must not show in differences of a millisecond.
In a process of its own, where TensorFlow has one thread as in the job's workers.
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
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.lineup import Lineup, Served
from driftline.streaming.scoring.process import Messages, Process

ROWS = 10_000  # messages in a batch of the stream
CALL_ROWS = 1_000  # rows of the bare call

_ROUNDS = 200
_CALLS = 1_000
_SIGNATURE = saved_model.SIGNATURE


@dataclass(frozen=True)
class Scoring:
    """What was measured.

    Decoding, features and the rows that a batch becomes are in `shadow_ms`, storing them is not.

    Attributes:
        own_ms: of a version for a batch, on its own.
        shadow_ms: what the batch costs more when that version is its shadow.
        bare_ms: TensorFlow's own call, tensors in and arrays out.
        call_ms: the same rows through the runtime.
    """

    own_ms: float
    shadow_ms: float
    bare_ms: float
    call_ms: float

    @property
    def shadow_cost_ratio(self) -> float:
        """A shadow's cost against its own model time."""
        return self.shadow_ms / self.own_ms

    @property
    def overhead_ratio(self) -> float:
        """The runtime's time against the bare call's."""
        return self.call_ms / self.bare_ms


def measure(bench: Bench, variant: Variant) -> Scoring:
    """Score the benchmark's events, with and without a shadow; call the model, with and without."""
    paths = (variant.config_path, bench.saved_model, bench.other_model)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scoring", variant.name, *map(str, paths)],
        stdout=subprocess.PIPE,
        env=job_environment(variant.config),
        cwd=Path(__file__).parents[1],
        check=True,
    )
    return Scoring(**json.loads(done.stdout))


def main(name: str, config: str, champion: str, shadow: str) -> None:
    """Measure, and print what was measured as JSON."""
    model = load(Path(config)).model(name)
    definition = FeatureDefinition(model)
    process = Process(DECODERS[model.input.decoder](model.input), definition)
    one, two = (Served(i, saved_model.load(Path(path))) for i, path in ((1, champion), (2, shadow)))
    messages = _messages()
    alone, beside = Lineup(one), Lineup(one, shadows=(two,))
    features = process(messages, beside).predictions.select(definition.schema.names)
    own, more = [], []
    for _ in range(_ROUNDS):
        without = _cpu_ms(lambda: process(messages, alone))
        more.append(_cpu_ms(lambda: process(messages, beside)) - without)
        own.append(_cpu_ms(lambda: two.runtime.predict(features.slice(0))))
    bare, call = _calls(champion, one, features.slice(0, CALL_ROWS))
    medians = Scoring(*(statistics.median(some) for some in (own, more, bare, call)))
    print(json.dumps(asdict(medians)))


def _calls(path: str, served: Served, features: pa.RecordBatch) -> tuple[list[float], list[float]]:
    """CPU time of single calls, by TensorFlow's own means and by the runtime."""
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
        # a slice is another batch: nothing of the call before is used again
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
    began = time.process_time()
    call()
    return (time.process_time() - began) * 1_000


if __name__ == "__main__":
    main(*sys.argv[1:])
