"""Whole numbers that an input's type cannot hold are found, whatever both types are."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from driftline.registry import columns
from driftline.registry.runtime import Tensor

KINDS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


@pytest.mark.parametrize("wanted", KINDS)
@pytest.mark.parametrize("given", KINDS)
def test_whole_numbers_are_held_or_found(given: str, wanted: str) -> None:
    ends = [np.iinfo(kind) for kind in KINDS]
    own, limits = np.iinfo(given), np.iinfo(wanted)
    near = {int(end) + step for one in ends for end in (one.min, one.max) for step in (-1, 0, 1)}
    numbers: list[Any] = [n for n in sorted(near) if own.min <= n <= own.max]
    batch = pa.RecordBatch.from_pydict({"k": pa.array([*numbers, None], given)})
    inputs = {"k": Tensor(np.dtype(wanted), ())}
    bad, names = columns.unusable(inputs, batch)
    held = [limits.min <= n <= limits.max for n in numbers]
    assert bad.tolist() == [*(not one for one in held), True]
    assert names == ["k"]
    good = batch.filter(pa.array(~bad))
    assert columns.unusable(inputs, good)[1] == []
    kept = columns.values(good.column("k"), inputs["k"])
    assert kept.tolist() == [n for n, one in zip(numbers, held, strict=True) if one]
