"""Feature columns as a model's inputs: type checks and conversion to arrays."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from driftline.errors import RegistryError
from driftline.registry.runtime import Tensor


def check(inputs: Mapping[str, Tensor], features: pa.Schema) -> None:
    """Raise `RegistryError` unless every input has a feature column of a suitable type."""
    for name, tensor in inputs.items():
        if name not in features.names:
            raise RegistryError(
                f"model input {name!r} has no feature column (available: "
                f"{', '.join(features.names)}): add it to the feature definition"
            )
        kind = features.field(name).type
        if not _fits(kind, tensor):
            raise RegistryError(
                f"model input {name!r} takes {_describe(tensor)}, but its feature column "
                f"is {kind}: cast it in the feature definition"
            )


def unusable(
    inputs: Mapping[str, Tensor], features: pa.RecordBatch
) -> tuple[npt.NDArray[np.bool_], Sequence[str]]:
    """Rows with a missing integer, bool or tensor, or an integer out of the input type's range.

    Returns:
        bool[n], true for such rows, and the names of the columns that cause it.
    """
    rows = np.zeros(features.num_rows, dtype=np.bool_)
    columns = []
    for name, tensor in inputs.items():
        column_rows = _unusable(features.column(name), tensor)
        if column_rows is not None:
            rows |= column_rows
            columns.append(name)
    return rows, columns


def values(column: pa.Array, tensor: Tensor) -> npt.NDArray[Any]:
    """A column of n rows as an array for the input: (n, *shape) of its dtype.

    A missing number becomes NaN, a missing text becomes empty. Tensors must not be missing, see
    `unusable`.
    """
    with np.errstate(over="ignore"):  # as in `stacked`
        array = _to_numpy(column, tensor).astype(tensor.dtype, copy=False)
    return array.reshape(-1, *tensor.shape)


def _to_numpy(column: pa.Array, tensor: Tensor) -> npt.NDArray[Any]:
    if pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
    elif tensor.dtype.kind == "O" and column.null_count:
        column = column.fill_null("")
    return np.asarray(column.to_numpy(zero_copy_only=False))


def stacked(features: pa.RecordBatch, names: Sequence[str], tensor: Tensor) -> npt.NDArray[Any]:
    """Numeric columns for inputs of one type and shape: (len(names), n, *shape)."""
    shape = [size or 0 for size in tensor.shape]
    stack = np.empty((len(names), features.num_rows, *shape), tensor.dtype)
    with np.errstate(over="ignore"):  # 1e308 overflows float32; the score shows the effect
        for row, name in zip(stack, names, strict=True):
            row[...] = _to_numpy(features.column(name), tensor).reshape(row.shape)
    return stack


def texts(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A model's text output (bytes or str, any shape) as str that the database accepts."""
    flat = array.ravel()
    try:
        column = pa.array(flat, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:  # not UTF-8
        column = pa.array([bytes(text).decode(errors="replace") for text in flat], pa.string())
    column = pc.replace_substring(column, "\0", "\ufffd")  # PostgreSQL rejects NUL
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(array.shape)


def blank(features: pa.Schema, n: int = 1) -> pa.RecordBatch:
    """n rows of zeros, empty texts and false, to test a model before there are events."""
    row = {field.name: _zero(field.type) for field in features}
    return pa.RecordBatch.from_pylist([row] * n, schema=features)


def blank_for(inputs: Mapping[str, Tensor], n: int = 1) -> pa.RecordBatch:
    """n blank rows with a column for each input."""
    return blank(pa.schema([(name, _arrow_type(tensor)) for name, tensor in inputs.items()]), n)


def _zero(kind: pa.DataType) -> object:
    if pa.types.is_fixed_size_list(kind):
        return [0.0] * kind.list_size
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return ""
    return False if pa.types.is_boolean(kind) else 0


def _size(tensor: Tensor) -> int:
    """Numbers in one row."""
    return math.prod(size or 0 for size in tensor.shape)


def _arrow_type(tensor: Tensor) -> pa.DataType:
    if _size(tensor) != 1:
        return pa.list_(pa.from_numpy_dtype(tensor.dtype), _size(tensor))
    return pa.string() if tensor.dtype.kind == "O" else pa.from_numpy_dtype(tensor.dtype)


def _describe(tensor: Tensor) -> str:
    kind = "text" if tensor.dtype.kind == "O" else str(tensor.dtype)
    return kind if _size(tensor) == 1 else f"{kind} tensors of shape {tensor.shape}"


def _fits(kind: pa.DataType, tensor: Tensor) -> bool:
    dtype, size = tensor.dtype, _size(tensor)
    if pa.types.is_fixed_size_list(kind):
        return bool(
            kind.list_size == size and dtype.kind == "f" and pa.types.is_floating(kind.value_type)
        )
    if size != 1:
        return False
    if dtype.kind == "O":
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
    if dtype.kind == "b":
        return bool(pa.types.is_boolean(kind))
    if dtype.kind in "iu":
        return bool(pa.types.is_integer(kind))
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _unusable(column: pa.Array, tensor: Tensor) -> npt.NDArray[np.bool_] | None:
    dtype, is_tensor = tensor.dtype, pa.types.is_fixed_size_list(column.type)
    if dtype.kind not in "iub" and not is_tensor:
        return None
    rows = column.is_null() if column.null_count else None
    if dtype.kind in "iu" and not np.can_cast(column.type.to_pandas_dtype(), dtype, "safe"):
        low, high = _common_range(column.type, dtype)
        extremes = pc.min_max(column).as_py()
        if extremes["min"] is not None and (extremes["min"] < low or extremes["max"] > high):
            bounds = [pa.scalar(bound, column.type) for bound in (low, high)]
            outside = pc.or_(pc.less(column, bounds[0]), pc.greater(column, bounds[1]))
            rows = pc.fill_null(outside, True)
    return None if rows is None else np.asarray(rows.to_numpy(zero_copy_only=False))


def _common_range(kind: pa.DataType, dtype: np.dtype[Any]) -> tuple[int, int]:
    """The smallest and the largest integer that both types can represent."""
    column, tensor = np.iinfo(kind.to_pandas_dtype()), np.iinfo(dtype)
    return max(int(column.min), int(tensor.min)), min(int(column.max), int(tensor.max))
