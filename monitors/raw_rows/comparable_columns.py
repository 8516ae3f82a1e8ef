"""The columns of raw rows that can be compared."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from driftline import names
from driftline.storage.monitoring.window_sample import LABEL

_EXACT = 2**53  # up to here every integer is exact as float64


def shared(current: pa.Table, reference: pa.Table) -> list[str]:
    """The common features and the score, with values on both sides and of one kind.

    A column without values carries no information, and makes Evidently fail as a whole.
    """
    excluded = {*names.SYSTEM_COLUMNS, LABEL} - {names.SCORE}
    return [
        name
        for name in current.column_names
        if name not in excluded
        and name in reference.column_names
        and _has_values(current[name])
        and _has_values(reference[name])
        and is_number(current[name].type) == is_number(reference[name].type)
    ]


def _has_values(column: pa.ChunkedArray) -> bool:
    if not is_number(column.type):
        return bool(column.null_count < len(column))
    return bool(np.isfinite(column.cast(pa.float64(), safe=False).to_numpy()).any())


def is_rounded(column: pa.ChunkedArray) -> bool:
    """Whether some of its integers are not exact as float64.

    >>> is_rounded(pa.chunked_array([[2**53 + 1]])), is_rounded(pa.chunked_array([[7, None]]))
    (True, False)
    """
    if not pa.types.is_integer(column.type) or column.null_count == len(column):
        return False
    limits = pc.min_max(column)
    return bool(max(abs(limits["min"].as_py()), abs(limits["max"].as_py())) > _EXACT)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is numeric."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
