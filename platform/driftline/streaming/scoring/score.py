"""Scores a batch of features with one version, and records why it fails on some rows."""

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
from driftline.registry.loaders.shared_inputs import pop_saved_seconds
from driftline.registry.runtime import Runtime
from driftline.streaming.scoring.isolate import run_isolated
from driftline.streaming.scoring.rejects import Reason


@dataclass(frozen=True)
class Scored:
    """What one version returned for n rows.

    Attributes:
        scores: float64[n], NaN where it failed.
        outputs: string[n], all outputs as JSON if there are more than the score, else null.
        ok: bool[n], whether it returned a finite score.
        failures: row -> why it failed.
        at_fault: number of rows that failed through the version itself, not a missing feature.
        raised: the error, if it failed on each row of a large batch.
        inference_ms: for all rows together, as if no other version had shared the work.
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
        """Whether it failed through its own fault on more than half of the rows."""
        return 2 * self.at_fault > len(self.ok)


def score(runtime: Runtime, features: pa.RecordBatch) -> Scored:
    """Score n rows; a row on which the version fails does not affect the others.

    Raises:
        ServiceError: a service that the version needs is unavailable.
    """
    missing, columns = runtime.unusable(features)
    if not missing.any():
        return _score(runtime, features)
    names = ", ".join(map(repr, columns))
    reason = Reason("missing_feature", f"missing value: the model requires {names}")
    rows = np.flatnonzero(~missing)
    scored = _score(runtime, features.filter(pa.array(~missing)))
    failures = dict.fromkeys(np.flatnonzero(missing).tolist(), reason)
    failures |= {int(rows[row]): reason for row, reason in scored.failures.items()}
    return replace(_spread(scored, rows, len(features)), failures=failures)


def _score(runtime: Runtime, features: pa.RecordBatch) -> Scored:
    """Score rows without missing features; few steps, as each is slow after a model's call."""
    n, failures = len(features), dict[int, Reason]()
    pop_saved_seconds()
    started = time.perf_counter()
    outputs, covered, raised = _predict(runtime, features, failures)
    inference_ms = (time.perf_counter() - started + pop_saved_seconds()) * 1_000
    scores, texts = _outputs(runtime, outputs, len(covered))
    finite = np.isfinite(scores)
    all_finite = bool(finite.all())
    if not all_finite:
        for row in np.flatnonzero(~finite):
            failures[int(covered[row])] = Reason("not_finite_score", f"the score is {scores[row]}")
    scored = Scored(scores, texts, finite, failures, len(failures), raised, inference_ms)
    return scored if all_finite and len(covered) == n else _spread(scored, covered, n)


def _spread(scored: Scored, rows: NDArray[Any], n: int) -> Scored:
    """Extend the result for some of n rows to all of them."""
    ok_rows = rows[scored.ok]
    scores, ok, index = np.full(n, np.nan), np.zeros(n, dtype=np.bool_), np.full(n, -1)
    scores[ok_rows], ok[ok_rows], index[rows] = scored.scores[scored.ok], True, np.arange(len(rows))
    outputs = scored.outputs.take(pa.array(index, mask=~ok))
    return replace(scored, scores=scores, outputs=outputs, ok=ok)


def _predict(
    runtime: Runtime, features: pa.RecordBatch, failures: dict[int, Reason]
) -> tuple[dict[str, NDArray[Any]], NDArray[Any], Exception | None]:
    """The outputs by name, the rows that have them, and the error if all rows failed."""

    def failed(row: int, error: Exception) -> None:
        failures[row] = _reason(error)

    try:
        parts, covered = run_isolated(runtime.predict, features, failed)
    except ServiceError:
        raise
    except Exception as error:  # raised only if each of many rows fails
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
    """The monitored score, float64[n], and all outputs as JSON if there are more than the score."""
    if not outputs:
        return np.empty(n), _nulls(n)
    if len(outputs) == 1 and next(iter(outputs.values())).size == n:
        return registry.score(outputs, runtime.score), _nulls(n)
    parts, columns = [], []
    for name, values in outputs.items():
        pattern, texts = _json(values)
        parts.append(orjson.dumps(name).decode().replace("%", "%%") + ":" + pattern)
        columns.append(texts)
    line = "{" + ",".join(parts) + "}"
    lines = [line % texts for texts in zip(*columns, strict=True)]
    return registry.score(outputs, runtime.score), pa.array(lines, pa.string())


def _json(values: NDArray[Any]) -> tuple[str, list[str]]:
    """The JSON of each of n rows, as a pattern and n texts to insert for its %s.

    Numbers have enough digits to be read back exactly; NaN and infinity become null.
    """
    if not values.size or values.dtype.kind not in "fiubV":  # V is bfloat16
        return "%s", [orjson.dumps(row, _parts).decode() for row in values.tolist()]
    # numbers contain no brackets, so all rows can be written at once, several times faster
    left, right = "[" * (values.ndim - 1), "]" * (values.ndim - 1)
    option = orjson.OPT_SERIALIZE_NUMPY
    text = orjson.dumps(np.ascontiguousarray(values), np.ndarray.tolist, option).decode()
    rows = text[values.ndim : -values.ndim].split(f"{right},{left}")
    return f"{left}%s{right}", rows


def _parts(value: complex) -> dict[str, float]:
    return {"real": value.real, "imag": value.imag}


@lru_cache(maxsize=8)
def _nulls(n: int) -> pa.Array:
    return pa.nulls(n, pa.string())
