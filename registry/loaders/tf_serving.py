"""Models that run on a model server, called with TensorFlow Serving's REST protocol.

https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from driftline.config import Registry, Score, TensorFlowServing
from driftline.errors import RegistryError
from driftline.registry import columns
from driftline.registry.files import layout, signature
from driftline.registry.loaders.http_client import HttpClient, RequestRejectedError
from driftline.registry.runtime import Tensor, score

SIGNATURE = "serving_default"

_FAIL_FAST = timedelta(seconds=2)  # long enough for a connection reset or a short overload

_DTYPES = {
    "DT_FLOAT": np.float32,
    "DT_DOUBLE": np.float64,
    "DT_HALF": np.float16,
    "DT_INT8": np.int8,
    "DT_INT16": np.int16,
    "DT_INT32": np.int32,
    "DT_INT64": np.int64,
    "DT_UINT8": np.uint8,
    "DT_UINT16": np.uint16,
    "DT_UINT32": np.uint32,
    "DT_UINT64": np.uint64,
    "DT_BOOL": np.bool_,
    "DT_STRING": np.object_,
}


class TFServing:
    """A model on a model server.

    While the server is unavailable, `predict` blocks for at most `retry_for`: the stream waits,
    and no data is lost.

    Parameters:
        settings: address, format, limits.
        model: its path on the server, such as /v1/models/NAME/versions/N.
        folder: the version's folder; its signature is used if the server does not report one.
        score: which number of the outputs is monitored.

    Raises:
        RegistryError: neither has a signature, or an input is not a column.
        ServiceError: the server is unavailable for longer than `retry_for`.
    """

    def __init__(self, settings: TensorFlowServing, model: str, folder: Path, score: Score) -> None:
        self._settings = settings
        self._model = model
        self.score = score
        self._client = HttpClient(settings)
        self._threads = ThreadPoolExecutor(settings.connections, "tf-serving")
        self.inputs: Mapping[str, Tensor]
        self.outputs: Mapping[str, Tensor]
        self.inputs, self.outputs = self._signature(folder)
        for name, tensor in self.inputs.items():
            if None in tensor.shape:
                raise RegistryError(
                    f"model input {name!r} of {model} has rows of shape {tensor.shape}: serve a "
                    "signature with one input of a known shape for each feature column"
                )

    def check(self, features: pa.Schema) -> None:
        """See `Runtime.check`."""
        columns.check(self.inputs, features)

    def unusable(self, features: pa.RecordBatch) -> tuple[npt.NDArray[np.bool_], Sequence[str]]:
        """See `Runtime.unusable`."""
        return columns.unusable(self.inputs, features)

    def predict(self, features: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        """See `Runtime.predict`; the batch is sent in parallel requests of `batch_rows` rows.

        Raises:
            RegistryError: the server rejects the rows, or its response does not fit them.
            ServiceError: it was unavailable for longer than `retry_for`.
        """
        size = self._settings.batch_rows
        parts = [features.slice(start, size) for start in range(0, features.num_rows, size)]
        if not parts:
            return {name: _empty(tensor) for name, tensor in self.outputs.items()}
        predict = self._predict_part
        # a single request needs no thread
        answers = (
            [predict(parts[0])] if len(parts) == 1 else list(self._threads.map(predict, parts))
        )
        return {name: np.concatenate([part[name] for part in answers]) for name in self.outputs}

    def fail_fast(self) -> Self:
        """See `Runtime.fail_fast`; with the same threads and connections."""
        return self._fail_fast

    @cached_property
    def _fail_fast(self) -> Self:
        runtime = copy(self)
        runtime._client = self._client.with_retry_for(min(self._settings.retry_for, _FAIL_FAST))
        return runtime

    def close(self) -> None:
        """Stop the threads and close the connections."""
        self._threads.shutdown(cancel_futures=True)
        self._client.close()

    def _predict_part(self, rows: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        arrays = {
            name: columns.values(rows.column(name), tensor) for name, tensor in self.inputs.items()
        }
        by_row = self._settings.format == "row"
        body = {"instances": _instances(arrays)} if by_row else {"inputs": arrays}
        content = _json({"signature_name": SIGNATURE, **body}, self._writes_nan(arrays.values()))
        answer = self._client.post(f"{self._model}:predict", content)
        return self._read(answer, "predictions" if by_row else "outputs", rows.num_rows)

    def _writes_nan(self, arrays: Iterable[npt.NDArray[Any]]) -> bool:
        """Whether the body needs NaN or Infinity, which strict JSON does not have."""
        if self._settings.missing == "null":
            return False
        return not all(np.isfinite(array).all() for array in arrays if array.dtype.kind == "f")

    def _read(self, answer: Any, key: str, n: int) -> dict[str, npt.NDArray[Any]]:
        if not isinstance(answer, dict) or key not in answer:
            raise RegistryError(f"{self._model} returned no {key!r}: {str(answer)[:200]!r}")
        values = answer[key]
        if key == "predictions":
            values = self._by_name(values)
        elif not isinstance(values, dict):  # a model's only output is sent without its name
            values = {self._only_output(): values}
        missing = sorted(self.outputs.keys() - values.keys())
        if missing:
            raise RegistryError(
                f"{self._model} returned the outputs {sorted(values)}, without {missing[0]!r}"
            )
        array = self._array
        return {name: array(name, values[name], tensor, n) for name, tensor in self.outputs.items()}

    def _by_name(self, rows: Any) -> dict[str, Any]:
        if not isinstance(rows, list):
            raise RegistryError(f"{self._model} returned {type(rows).__name__}, not a list of rows")
        if not all(isinstance(row, dict) and "b64" not in row for row in rows):
            return {self._only_output(): rows}
        common = set.intersection(*map(set, rows)) if rows else set(self.outputs)
        return {name: [row[name] for row in rows] for name in common}

    def _only_output(self) -> str:
        if len(self.outputs) != 1:
            expected = ", ".join(self.outputs)
            raise RegistryError(f"{self._model} returned one output without a name, not {expected}")
        return next(iter(self.outputs))

    def _array(self, name: str, values: Any, tensor: Tensor, n: int) -> npt.NDArray[Any]:
        where = f"output {name!r} of {self._model}"
        try:
            if tensor.dtype.kind == "O":
                array = columns.texts(np.array(_decode(values), dtype=object))
            else:
                array = np.array(values, dtype=tensor.dtype)
        except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
            excerpt = str(values)[:200]
            raise RegistryError(f"{where} is not {tensor.dtype}: {error}: {excerpt}") from error
        if array.shape[:1] != (n,):
            raise RegistryError(f"{where} has shape {array.shape} for {n} rows")
        shape = array.shape[1:]
        if {shape, tensor.shape} == {(), (1,)}:
            return array.reshape(n, *tensor.shape)
        if len(shape) != len(tensor.shape) or any(
            size not in (None, actual) for size, actual in zip(tensor.shape, shape, strict=True)
        ):
            raise RegistryError(f"{where} has rows of shape {shape}, not {tensor.shape}")
        return array

    def _signature(self, folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Inputs and outputs as the server reports them, otherwise those of the version's files."""
        try:
            answer = self._client.get(f"{self._model}/metadata")
            served = answer["metadata"]["signature_def"]["signature_def"][SIGNATURE]
        except (RequestRejectedError, KeyError, TypeError):
            return self._registered_signature(folder)
        return _tensors(served["inputs"]), _tensors(served["outputs"])

    @staticmethod
    def _registered_signature(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        inputs, outputs = signature.tensors(folder)
        if not inputs or not outputs:
            raise RegistryError(
                f"neither the model server nor {layout.MANIFEST} in {str(folder)!r} describes the "
                "model's inputs and outputs: register it with driftline"
            )
        return inputs, outputs


def load(folder: Path, registered: Registry, version: int) -> TFServing:
    """A version on the server of `registry.serving`, tested with one request.

    Parameters:
        folder: the version's folder, from `driftline.registry.files.cache.fetch`.
        registered: the model's `registry` section, with `serving`.
        version: its number in the registry.

    Raises:
        RegistryError: an input of the server's model is not a column, or no output is the score.
        ServiceError: the server is unavailable for longer than `retry_for`.
    """
    settings = registered.serving
    if settings is None:
        raise RegistryError("registry.serving is not set")
    path = f"/v1/models/{quote(settings.name or registered.name, safe='')}"
    match settings.version.partition(":"):
        case ("registry", _, _):
            path += f"/versions/{version}"
        case ("label", _, label):
            path += f"/labels/{label}"
        case (number, _, _) if number != "latest":
            path += f"/versions/{number}"
    model = TFServing(settings, path, folder, registered.score)
    score(model.predict(columns.blank_for(model.inputs)), model.score)
    return model


def _tensors(specs: Mapping[str, Any]) -> dict[str, Tensor]:
    tensors = {}
    for name, info in sorted(specs.items()):
        if info["dtype"] not in _DTYPES:
            kind = info["dtype"]
            raise RegistryError(f"{name!r} of the served model has the unsupported type {kind}")
        sizes = [int(dim["size"]) for dim in info["tensor_shape"].get("dim", [])]
        shape = tuple(None if size < 0 else size for size in sizes[1:])
        tensors[name] = Tensor(np.dtype(_DTYPES[info["dtype"]]), shape)
    return tensors


def _empty(tensor: Tensor) -> npt.NDArray[Any]:
    return np.empty((0, *(size or 0 for size in tensor.shape)), tensor.dtype)


def _instances(arrays: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    lists = [array.tolist() for array in arrays.values()]
    return [dict(zip(arrays, row, strict=True)) for row in zip(*lists, strict=True)]


def _json(body: Mapping[str, Any], writes_nan: bool) -> bytes:
    """TensorFlow Serving reads the tokens NaN and Infinity; orjson writes null for both."""
    if writes_nan:
        return json.dumps(body, default=np.ndarray.tolist).encode()
    return orjson.dumps(body, default=np.ndarray.tolist, option=orjson.OPT_SERIALIZE_NUMPY)


def _decode(values: Any) -> Any:
    """Text is sent as it is, or as {"b64": ...} if it might not be UTF-8."""
    if isinstance(values, list):
        return [_decode(value) for value in values]
    return base64.b64decode(values["b64"]) if isinstance(values, dict) else values
