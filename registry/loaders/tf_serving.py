"""Models that a server runs, over TensorFlow Serving's REST protocol.

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
from driftline.registry.loaders.http_client import RefusedError, Server
from driftline.registry.runtime import Tensor, score

SIGNATURE = "serving_default"

_HURRY = timedelta(seconds=2)  # passes over a reset, or a moment of too much to do

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
    """A model behind a server.

    While the server is away, `predict` blocks, for at most `patience`: the stream waits, and
    nothing is lost.

    Parameters:
        settings: address, format, limits.
        model: its path on the server, such as /v1/models/NAME/versions/N.
        folder: of the version; its signature serves where the server does not tell its own.
        score: which number of the outputs is monitored.

    Raises:
        RegistryError: neither has a signature, or its inputs are not columns.
        ServiceError: the server is away for longer than `patience`.
    """

    def __init__(self, settings: TensorFlowServing, model: str, folder: Path, score: Score) -> None:
        self._settings = settings
        self._model = model
        self.score = score
        self._server = Server(settings)
        self._threads = ThreadPoolExecutor(settings.connections, "tf-serving")
        self.inputs: Mapping[str, Tensor]
        self.outputs: Mapping[str, Tensor]
        self.inputs, self.outputs = self._described(folder)
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
        """See `Runtime.predict`; the batch goes in requests of `batch_rows`, some at a time.

        Raises:
            RegistryError: the server refuses the rows, or its answer is not of these rows.
            ServiceError: it was away for longer than `patience`.
        """
        size = self._settings.batch_rows
        parts = [features.slice(start, size) for start in range(0, features.num_rows, size)]
        if not parts:
            return {name: _empty(tensor) for name, tensor in self.outputs.items()}
        answers = [self._ask(parts[0])] if len(parts) == 1 else self._ask_all(parts)
        return {name: np.concatenate([part[name] for part in answers]) for name in self.outputs}

    def hurried(self) -> Self:
        """See `Runtime.hurried`; with the same threads and connections."""
        return self._hurried

    @cached_property
    def _hurried(self) -> Self:
        hurried = copy(self)
        hurried._server = self._server.within(min(self._settings.patience, _HURRY))
        return hurried

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(cancel_futures=True)
        self._server.close()

    def _ask_all(self, parts: list[pa.RecordBatch]) -> list[dict[str, npt.NDArray[Any]]]:
        return list(self._threads.map(self._ask, parts))

    def _ask(self, rows: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        arrays = {
            name: columns.values(rows.column(name), tensor) for name, tensor in self.inputs.items()
        }
        in_rows = self._settings.format == "row"
        body = {"instances": _instances(arrays)} if in_rows else {"inputs": arrays}
        content = _json({"signature_name": SIGNATURE, **body}, self._writes_nan(arrays.values()))
        answer = self._server.post(f"{self._model}:predict", content)
        return self._read(answer, "predictions" if in_rows else "outputs", rows.num_rows)

    def _writes_nan(self, arrays: Iterable[npt.NDArray[Any]]) -> bool:
        """Whether the body needs NaN or Infinity, which strict JSON does not have."""
        if self._settings.missing == "null":
            return False
        return not all(np.isfinite(array).all() for array in arrays if array.dtype.kind == "f")

    def _read(self, answer: Any, key: str, n: int) -> dict[str, npt.NDArray[Any]]:
        if not isinstance(answer, dict) or key not in answer:
            shown = str(answer)[:200]
            raise RegistryError(f"{self._model} gave no {key!r} but {shown!r}")
        found = answer[key]
        if key == "predictions":
            found = self._by_name(found)
        elif not isinstance(found, dict):  # a model's only output stands alone
            found = {self._only(): found}
        missing = sorted(self.outputs.keys() - found.keys())
        if missing:
            raise RegistryError(
                f"{self._model} gave the outputs {sorted(found)}, without {missing[0]!r}"
            )
        return {
            name: self._array(name, found[name], tensor, n) for name, tensor in self.outputs.items()
        }

    def _by_name(self, rows: Any) -> dict[str, Any]:
        if not isinstance(rows, list):
            raise RegistryError(f"{self._model} gave {type(rows).__name__}, not a list of rows")
        if not all(isinstance(row, dict) and "b64" not in row for row in rows):
            return {self._only(): rows}
        known = set.intersection(*map(set, rows)) if rows else set(self.outputs)
        return {name: [row[name] for row in rows] for name in known}

    def _only(self) -> str:
        if len(self.outputs) != 1:
            raise RegistryError(
                f"{self._model} gave one output without a name, not {', '.join(self.outputs)}"
            )
        return next(iter(self.outputs))

    def _array(self, name: str, values: Any, tensor: Tensor, n: int) -> npt.NDArray[Any]:
        where = f"output {name!r} of {self._model}"
        try:
            if tensor.dtype.kind == "O":
                array = columns.texts(np.array(_unpacked(values), dtype=object))
            else:
                array = np.array(values, dtype=tensor.dtype)
        except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
            shown = str(values)[:200]
            raise RegistryError(f"{where} is not {tensor.dtype}: {error}: {shown}") from error
        if array.shape[:1] != (n,):
            raise RegistryError(f"{where} has shape {array.shape} for {n} rows")
        shape = array.shape[1:]
        if {shape, tensor.shape} == {(), (1,)}:
            return array.reshape(n, *tensor.shape)
        if len(shape) != len(tensor.shape) or any(
            want not in (None, got) for want, got in zip(tensor.shape, shape, strict=True)
        ):
            raise RegistryError(f"{where} has rows of shape {shape}, its signature {tensor.shape}")
        return array

    def _described(self, folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Inputs and outputs as the server tells them, else as the version's signature does."""
        try:
            answer = self._server.get(f"{self._model}/metadata")
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            found = signatures[SIGNATURE]
        except (RefusedError, KeyError, TypeError):
            return self._as_registered(folder)
        return _of_server(found["inputs"]), _of_server(found["outputs"])

    @staticmethod
    def _as_registered(folder: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        inputs, outputs = signature.tensors(folder)
        if not inputs or not outputs:
            raise RegistryError(
                f"neither the model server nor {layout.MANIFEST} in {str(folder)!r} tells the "
                "model's inputs and outputs: register it with driftline"
            )
        return inputs, outputs


def load(folder: Path, registered: Registry, version: int) -> TFServing:
    """A version behind the server of `registry.serving`, asked once.

    Args:
        folder: of the version, as `driftline.registry.files.cache.fetch` gives it.
        registered: with `serving`.
        version: its number in the registry.

    Raises:
        RegistryError: the server's model is not of columns, or gives no score.
        ServiceError: the server is away for longer than `patience`.
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


def _of_server(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    found = {}
    for name, info in sorted(tensors.items()):
        if info["dtype"] not in _DTYPES:
            raise RegistryError(f"{name!r} of the served model is {info['dtype']}: not a column's")
        sizes = [int(dim["size"]) for dim in info["tensor_shape"].get("dim", [])]
        shape = tuple(None if size < 0 else size for size in sizes[1:])
        found[name] = Tensor(np.dtype(_DTYPES[info["dtype"]]), shape)
    return found


def _empty(tensor: Tensor) -> npt.NDArray[Any]:
    return np.empty((0, *(size or 0 for size in tensor.shape)), tensor.dtype)


def _instances(arrays: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    lists = [array.tolist() for array in arrays.values()]
    return [dict(zip(arrays, row, strict=True)) for row in zip(*lists, strict=True)]


def _json(body: Mapping[str, Any], writes_nan: bool) -> bytes:
    """TensorFlow Serving reads the tokens NaN and Infinity; orjson writes null for both."""
    if writes_nan:
        return json.dumps(body, default=_listed).encode()
    return orjson.dumps(body, default=_listed, option=orjson.OPT_SERIALIZE_NUMPY)


def _listed(array: npt.NDArray[Any]) -> Any:
    return array.tolist()


def _unpacked(values: Any) -> Any:
    """Text as it is, or as {"b64": ...} where it may be no UTF-8."""
    if isinstance(values, list):
        return [_unpacked(value) for value in values]
    return base64.b64decode(values["b64"]) if isinstance(values, dict) else values
