"""Which columns of raw rows can be compared."""

import numpy as np
import pyarrow as pa

from driftline import names
from driftline.storage.window_sample import LABEL


def shared(current: pa.Table, reference: pa.Table) -> list[str]:
    """The features and the score that both have, with a value each, of one type.

    A column without values says nothing, and Evidently fails as a whole on one.
    """
    own = {*names.SYSTEM_COLUMNS, LABEL} - {names.SCORE}
    return [
        name
        for name in current.column_names
        if name not in own
        and name in reference.column_names
        and _has_values(current[name])
        and _has_values(reference[name])
        and is_number(current[name].type) == is_number(reference[name].type)
    ]


def _has_values(column: pa.ChunkedArray) -> bool:
    if not is_number(column.type):
        return bool(column.null_count < len(column))
    return bool(np.isfinite(column.cast(pa.float64(), safe=False).to_numpy()).any())


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is one of numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
