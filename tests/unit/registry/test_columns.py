"""Integers out of the input type's range are found, for all pairs of types."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.registry import columns
from driftline.registry.runtime import Tensor

KINDS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("input_type", KINDS)
@pytest.mark.parametrize("column_type", KINDS)
def test_whole_numbers_are_held_or_found(column_type: str, input_type: str) -> None:
    ends = [np.iinfo(kind) for kind in KINDS]
    own, limits = np.iinfo(column_type), np.iinfo(input_type)
    near = {int(n) + step for info in ends for n in (info.min, info.max) for step in (-1, 0, 1)}
    numbers: list[Any] = [n for n in sorted(near) if own.min <= n <= own.max]
    batch = pa.RecordBatch.from_pydict({"k": pa.array([*numbers, None], column_type)})
    inputs = {"k": Tensor(np.dtype(input_type), ())}
    bad, names = columns.unusable(inputs, batch)
    held = [limits.min <= n <= limits.max for n in numbers]
    assert bad.tolist() == [*(not fits for fits in held), True]
    assert names == ["k"]
    good = batch.filter(pa.array(~bad))
    assert columns.unusable(inputs, good)[1] == []
    converted = columns.values(good.column("k"), inputs["k"])
    assert converted.tolist() == [n for n, fits in zip(numbers, held, strict=True) if fits]
