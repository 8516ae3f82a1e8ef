"""Time of Evidently's DataDriftPreset on raw rows, including reading them."""

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
    """Generate n rows of 16 numbers and 4 texts."""
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
    evidently_data.disable_telemetry()
    from evidently import Report  # before the measurement, which excludes imports
    from evidently.presets import DataDriftPreset

    start = time.perf_counter()
    current, baseline = (pd.read_parquet(file) for file in (path, reference))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Report([DataDriftPreset()], include_tests=True).run(current, baseline).dict()
    return time.perf_counter() - start
