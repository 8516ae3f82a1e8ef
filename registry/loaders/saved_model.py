"""TensorFlow SavedModels, run through their serving signature with one tensor a column."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import RegistryError
from registry.layout import saved_model_folder
from registry.runtime import Tensor

SIGNATURE = "serving_default"


class SavedModel:
    """A loaded SavedModel; make one with `load`.

    Parameters:
        signature: a concrete function of named tensors, each of shape (None,) or (None, 1).
        inputs: its inputs.
        outputs: its outputs.
        owner: the loaded model; a signature holds its variables only weakly.
    """

    def __init__(
        self,
        signature: Callable[..., Mapping[str, Any]],
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        owner: object,
    ) -> None:
        self.inputs = inputs
        self.outputs = outputs
        self._signature = signature
        self._owner = owner

    def check(self, features: pa.Schema) -> None:
        """See `Runtime.check`."""
        for name, tensor in self.inputs.items():
            if name not in features.names:
                raise RegistryError(
                    f"model input {name!r} has no feature column (there: "
                    f"{', '.join(features.names)}): add it to the feature definition"
                )
            kind = features.field(name).type
            if not _fits(kind, tensor.dtype):
                raise RegistryError(
                    f"model input {name!r} takes {_spelled(tensor.dtype)}, but its feature column "
                    f"is {kind}: cast it in the feature definition"
                )

    def unusable(self, features: pa.RecordBatch) -> tuple[npt.NDArray[np.bool_], Sequence[str]]:
        """Rows with a missing whole number or bool, or one that the input's type cannot hold."""
        rows = np.zeros(features.num_rows, dtype=np.bool_)
        columns = []
        for name, tensor in self.inputs.items():
            if tensor.dtype.kind in "iub":
                bad = _unusable(features.column(name), tensor.dtype)
                if bad is not None:
                    rows |= bad
                    columns.append(name)
        return rows, columns

    def predict(self, features: pa.RecordBatch) -> dict[str, npt.NDArray[Any]]:
        """See `Runtime.predict`; a missing number is NaN to the model, a missing text is empty."""
        import tensorflow as tf  # noqa: PLC0415 - heavy

        tensors = {
            name: tf.constant(_values(features.column(name), tensor))
            for name, tensor in self.inputs.items()
        }
        results = self._signature(**tensors)
        return {name: results[name].numpy() for name in self.outputs}


def load(folder: Path) -> SavedModel:
    """Load a version's SavedModel and run it once, so that the first batch is not the slow one.

    Args:
        folder: of the version, as `registry.cache.fetch` gives it, or a SavedModel itself.

    Raises:
        RegistryError: there is no SavedModel, or its signature is not of columns.

    TensorFlow is limited to one thread a worker: a batch of 10,000 rows is 1.5 times faster so,
    and the JVM and the database need the other cores.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf  # noqa: PLC0415 - heavy

    _one_thread()
    path = saved_model_folder(folder)
    try:
        owner = tf.saved_model.load(str(path))
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise RegistryError(f"can't load the SavedModel in {str(path)!r}: {error}") from error
    if SIGNATURE not in owner.signatures:
        known = ", ".join(owner.signatures) or "none"
        raise RegistryError(
            f"the SavedModel in {str(path)!r} has no signature {SIGNATURE!r} (there: {known}): "
            "export it with Keras' model.export, or with signatures="
        )
    signature = owner.signatures[SIGNATURE]
    inputs = _tensors(signature.structured_input_signature[1])
    for name, tensor in inputs.items():
        if tensor.shape not in ((), (1,)):
            raise RegistryError(
                f"model input {name!r} has rows of shape {tensor.shape}: export a signature with "
                "one input of shape (None,) or (None, 1) for each feature column"
            )
    model = SavedModel(signature, inputs, _tensors(signature.structured_outputs), owner)
    _try(model, path)
    return model


def _one_thread() -> None:
    import tensorflow as tf  # noqa: PLC0415 - heavy

    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return  # TensorFlow has started already: a later version in the same process


def _tensors(specs: Mapping[str, Any]) -> dict[str, Tensor]:
    return {
        name: Tensor(np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape[1:]))
        for name, spec in sorted(specs.items())
    }


def _try(model: SavedModel, path: Path) -> None:
    zeros = {
        name: pa.array([_zero(tensor.dtype)], _arrow_type(tensor.dtype))
        for name, tensor in model.inputs.items()
    }
    outputs = model.predict(pa.RecordBatch.from_pydict(zeros))
    for name, values in outputs.items():
        if values.shape[:1] != (1,):
            raise RegistryError(
                f"output {name!r} of the SavedModel in {str(path)!r} has shape {values.shape} for "
                "one row: its first dimension must be the row"
            )


def _zero(dtype: np.dtype[Any]) -> object:
    return "" if dtype.kind == "O" else dtype.type(0)


def _arrow_type(dtype: np.dtype[Any]) -> pa.DataType:
    return pa.string() if dtype.kind == "O" else pa.from_numpy_dtype(dtype)


def _spelled(dtype: np.dtype[Any]) -> str:
    return "text" if dtype.kind == "O" else str(dtype)


def _fits(kind: pa.DataType, dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "O":
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
    if dtype.kind == "b":
        return bool(pa.types.is_boolean(kind))
    if dtype.kind in "iu":
        return bool(pa.types.is_integer(kind))
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _unusable(column: pa.Array, dtype: np.dtype[Any]) -> npt.NDArray[np.bool_] | None:
    bad = column.is_null() if column.null_count else None
    if dtype.kind != "b" and column.type.bit_width > dtype.itemsize * 8:
        limits = np.iinfo(dtype)
        inside = pc.min_max(column).as_py()
        if inside["min"] is not None and (inside["min"] < limits.min or inside["max"] > limits.max):
            outside = pc.or_(pc.less(column, int(limits.min)), pc.greater(column, int(limits.max)))
            bad = pc.fill_null(outside, True)
    return None if bad is None else np.asarray(bad.to_numpy(zero_copy_only=False))


def _values(column: pa.Array, tensor: Tensor) -> npt.NDArray[Any]:
    if tensor.dtype.kind == "O" and column.null_count:
        column = column.fill_null("")
    values = np.asarray(column.to_numpy(zero_copy_only=False))
    with np.errstate(over="ignore"):  # 1e308 is infinite as float32: the caller sees the score
        return values.astype(tensor.dtype, copy=False).reshape(-1, *tensor.shape)
