"""Feature columns as a model's inputs: whether they fit, and the arrays that they become."""

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
    """Raise `RegistryError` unless every input has a feature column of a type that fits."""
    for name, tensor in inputs.items():
        if name not in features.names:
            raise RegistryError(
                f"model input {name!r} has no feature column (there: "
                f"{', '.join(features.names)}): add it to the feature definition"
            )
        kind = features.field(name).type
        if not _fits(kind, tensor):
            raise RegistryError(
                f"model input {name!r} takes {_spelled(tensor)}, but its feature column "
                f"is {kind}: cast it in the feature definition"
            )


def unusable(
    inputs: Mapping[str, Tensor], features: pa.RecordBatch
) -> tuple[npt.NDArray[np.bool_], Sequence[str]]:
    """Rows with a missing whole number, bool or tensor, or one that the input's type cannot hold.

    Returns:
        bool[n], true for such rows, and the names of the columns at fault.
    """
    rows = np.zeros(features.num_rows, dtype=np.bool_)
    columns = []
    for name, tensor in inputs.items():
        bad = _unusable(features.column(name), tensor)
        if bad is not None:
            rows |= bad
            columns.append(name)
    return rows, columns


def values(column: pa.Array, tensor: Tensor) -> npt.NDArray[Any]:
    """A column of n rows as the input takes it: (n, *shape) of its dtype.

    A missing number is NaN, a missing text is empty. Tensors have no missing rows here, see
    `unusable`.
    """
    with np.errstate(over="ignore"):  # as in `stacked`
        array = _plain(column, tensor).astype(tensor.dtype, copy=False)
    return array.reshape(-1, *tensor.shape)


def _plain(column: pa.Array, tensor: Tensor) -> npt.NDArray[Any]:
    if pa.types.is_fixed_size_list(column.type):
        column = column.flatten()
    elif tensor.dtype.kind == "O" and column.null_count:
        column = column.fill_null("")
    return np.asarray(column.to_numpy(zero_copy_only=False))


def stacked(features: pa.RecordBatch, names: Sequence[str], tensor: Tensor) -> npt.NDArray[Any]:
    """Columns of numbers for inputs of one type and shape: (len(names), n, *shape)."""
    shape = [size or 0 for size in tensor.shape]
    stack = np.empty((len(names), features.num_rows, *shape), tensor.dtype)
    with np.errstate(over="ignore"):  # 1e308 is infinite as float32: the caller sees the score
        for row, name in zip(stack, names, strict=True):
            row[...] = _plain(features.column(name), tensor).reshape(row.shape)
    return stack


def texts(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Text that a model gave, bytes or str of any shape, as str that the store can hold."""
    flat = array.ravel()
    try:
        column = pa.array(flat, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:  # not UTF-8
        column = pa.array([bytes(text).decode(errors="replace") for text in flat], pa.string())
    column = pc.replace_substring(column, "\0", "\ufffd")  # PostgreSQL holds no NUL
    return np.asarray(column.to_numpy(zero_copy_only=False)).reshape(array.shape)


def blank(features: pa.Schema, n: int = 1) -> pa.RecordBatch:
    """n rows of zeros, empty texts and false: something to predict before there are events."""
    row = {field.name: _zero(field.type) for field in features}
    return pa.RecordBatch.from_pylist([row] * n, schema=features)


def blank_for(inputs: Mapping[str, Tensor], n: int = 1) -> pa.RecordBatch:
    """`blank` with a column for each input."""
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


def _spelled(tensor: Tensor) -> str:
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
    bad = column.is_null() if column.null_count else None
    if dtype.kind in "iu" and not np.can_cast(column.type.to_pandas_dtype(), dtype, "safe"):
        low, high = _range(column.type, dtype)
        inside = pc.min_max(column).as_py()
        if inside["min"] is not None and (inside["min"] < low or inside["max"] > high):
            ends = [pa.scalar(end, column.type) for end in (low, high)]
            outside = pc.or_(pc.less(column, ends[0]), pc.greater(column, ends[1]))
            bad = pc.fill_null(outside, True)
    return None if bad is None else np.asarray(bad.to_numpy(zero_copy_only=False))


def _range(kind: pa.DataType, dtype: np.dtype[Any]) -> tuple[int, int]:
    """The least and the greatest whole number that both types hold."""
    one, other = np.iinfo(kind.to_pandas_dtype()), np.iinfo(dtype)
    return max(int(one.min), int(other.min)), min(int(one.max), int(other.max))
