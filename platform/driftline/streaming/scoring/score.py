"""What one version says of a batch of features, and why it fails on some of them."""

import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from driftline.errors import ServiceError
from driftline.registry import runtime as registry
from driftline.registry.loaders.shared_inputs import spared
from driftline.registry.runtime import Runtime
from driftline.streaming.scoring.isolate import run_isolated
from driftline.streaming.scoring.rejects import Reason


@dataclass(frozen=True)
class Scored:
    """What one version gave for n rows.

    Attributes:
        scores: float64[n], NaN where it failed.
        outputs: string[n], all outputs as JSON where there is more than the score, else null.
        ok: bool[n], whether it gave a finite score.
        failures: why not, by row.
        at_fault: how many rows failed by what the version does, not by what they lack.
        raised: the error, when it failed on each row of a large batch.
        inference_ms: for all rows together, as if it had scored them alone.
    """

    scores: NDArray[np.float64]
    outputs: pa.Array
    ok: NDArray[np.bool_]
    failures: dict[int, Reason]
    at_fault: int
    raised: Exception | None
    inference_ms: float

    @property
    def is_poor(self) -> bool:
        """Whether it failed, by itself, on more than half of the rows."""
        return 2 * self.at_fault > len(self.ok)


def score(runtime: Runtime, features: pa.RecordBatch) -> Scored:
    """Score n rows; a row that it fails on does not harm the others.

    Raises:
        ServiceError: a service that the version needs is away.
    """
    lacking, columns = runtime.unusable(features)
    if not lacking.any():
        return _score(runtime, features)
    names = ", ".join(map(repr, columns))
    reason = Reason("missing_feature", f"the model needs {names}, which may not be missing")
    rows = np.flatnonzero(~lacking)
    scored = _score(runtime, features.filter(pa.array(~lacking)))
    failures = dict.fromkeys(np.flatnonzero(lacking).tolist(), reason)
    failures |= {int(rows[at]): why for at, why in scored.failures.items()}
    return replace(_spread(scored, rows, len(features)), failures=failures)


def _score(runtime: Runtime, features: pa.RecordBatch) -> Scored:
    """Score rows that lack nothing; after a model's call every step is slow, so there are few."""
    n, failures = len(features), dict[int, Reason]()
    spared()
    started = time.perf_counter()
    outputs, covered, raised = _predict(runtime, features, failures)
    inference_ms = (time.perf_counter() - started + spared()) * 1_000
    found, others = _outputs(runtime, outputs, len(covered))
    finite = np.isfinite(found)
    whole = bool(finite.all())
    if not whole:
        for at in np.flatnonzero(~finite):
            failures[int(covered[at])] = Reason("not_finite_score", f"the model gave {found[at]}")
    scored = Scored(found, others, finite, failures, len(failures), raised, inference_ms)
    return scored if whole and len(covered) == n else _spread(scored, covered, n)


def _spread(scored: Scored, rows: NDArray[Any], n: int) -> Scored:
    """What was scored of some of n rows, as n rows."""
    good = rows[scored.ok]
    scores, ok, index = np.full(n, np.nan), np.zeros(n, dtype=np.bool_), np.full(n, -1)
    scores[good], ok[good], index[rows] = scored.scores[scored.ok], True, np.arange(len(rows))
    outputs = scored.outputs.take(pa.array(index, mask=~ok))
    return replace(scored, scores=scores, outputs=outputs, ok=ok)


def _predict(
    runtime: Runtime, features: pa.RecordBatch, failures: dict[int, Reason]
) -> tuple[dict[str, NDArray[Any]], NDArray[Any], Exception | None]:
    """The outputs by name, the rows that have them, and what a failure on all rows was."""

    def failed(row: int, error: Exception) -> None:
        failures[row] = _reason(error)

    try:
        parts, covered = run_isolated(runtime.predict, features, failed)
    except ServiceError:
        raise
    except Exception as error:  # on each of many rows
        failures.update(dict.fromkeys(range(len(features)), _reason(error)))
        return {}, np.empty(0, np.int32), error
    if len(parts) == 1:
        return parts[0], covered, None
    names = parts[0] if parts else ()
    return {name: np.concatenate([part[name] for part in parts]) for name in names}, covered, None


def _reason(error: Exception) -> Reason:
    return Reason("model_failed", f"{type(error).__name__}: {error}")


def _outputs(
    runtime: Runtime, outputs: dict[str, NDArray[Any]], n: int
) -> tuple[NDArray[np.float64], pa.Array]:
    """The monitored score, float64[n], and all outputs as JSON where there is more than it."""
    if not outputs:
        return np.empty(n), _no_more(n)
    if len(outputs) == 1 and next(iter(outputs.values())).size == n:
        return registry.score(outputs, runtime.score), _no_more(n)
    parts, columns = [], []
    for name, values in outputs.items():
        pattern, texts = _json(values)
        parts.append(orjson.dumps(name).decode().replace("%", "%%") + ":" + pattern)
        columns.append(texts)
    line = "{" + ",".join(parts) + "}"
    lines = [line % texts for texts in zip(*columns, strict=True)]
    return registry.score(outputs, runtime.score), pa.array(lines, pa.string())


def _json(values: NDArray[Any]) -> tuple[str, list[str]]:
    """The JSON of each of n rows: a pattern, and n texts to put in place of its %s.

    Numbers have as many digits as bring them back; NaN and infinity are null.
    """
    if not values.size or values.dtype.kind not in "fiubV":  # V is bfloat16
        return "%s", [orjson.dumps(row, _parts).decode() for row in values.tolist()]
    # numbers hold no brackets: all rows are written at once, which is several times faster
    left, right = "[" * (values.ndim - 1), "]" * (values.ndim - 1)
    option = orjson.OPT_SERIALIZE_NUMPY
    text = orjson.dumps(np.ascontiguousarray(values), np.ndarray.tolist, option).decode()
    rows = text[values.ndim : -values.ndim].split(f"{right},{left}")
    return f"{left}%s{right}", rows


def _parts(value: complex) -> dict[str, float]:
    return {"real": value.real, "imag": value.imag}


@lru_cache(maxsize=8)
def _no_more(n: int) -> pa.Array:
    return pa.nulls(n, pa.string())
