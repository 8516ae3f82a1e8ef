"""What Evidently's DataDriftPreset takes for raw rows, with their read."""

import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from driftline.monitors.raw_rows import evidently_data

NUMBERS, TEXTS = 16, 4
REFERENCE_ROWS = 200_000


def rows(n: int, seed: int) -> pa.Table:
    """n rows of 16 numbers and 4 texts."""
    rng = np.random.default_rng(seed)
    texts = np.array([f"c{i}" for i in range(30)])
    return pa.table(
        {
            **{f"x{i}": rng.normal(size=n) for i in range(NUMBERS)},
            **{f"t{i}": texts[rng.integers(0, 30, n)] for i in range(TEXTS)},
        }
    )


def evidently(path: Path, reference: Path) -> float:
    """Seconds to read both and run the preset."""
    evidently_data.silence()
    from evidently import Report  # its import is not measured
    from evidently.presets import DataDriftPreset

    began = time.perf_counter()
    current, before = (pd.read_parquet(one) for one in (path, reference))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Report([DataDriftPreset()], include_tests=True).run(current, before).dict()
    return time.perf_counter() - began
