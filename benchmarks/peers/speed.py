"""Judging from profiles against Evidently's DataDriftPreset on the raw rows, each with its read."""

import time
import warnings
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from driftline import names
from driftline.monitoring import Monitors
from driftline.profile.binning import Binning, LogBins
from driftline.profile.build import build
from driftline.profile.count import increments
from driftline.profile.profile import Profile
from monitors.calibration.judge import Judge
from monitors.calibration.reference import Blocks, Reference
from monitors.raw import evidently_data
from monitors.verdict import Window

DAY = timedelta(days=1)
START = datetime(2024, 3, 1, tzinfo=UTC)
NUMBERS, TEXTS = 16, 4
REFERENCE_ROWS, REFERENCE_DAYS = 200_000, 40


def rows(n: int, seed: int, start: datetime, length: timedelta) -> pa.Table:
    """n rows of 16 numbers and 4 texts, evenly over a stretch of time."""
    rng = np.random.default_rng(seed)
    step = length / n / timedelta(microseconds=1)
    micros = int(start.timestamp() * 1e6) + (np.arange(n) * step).astype(np.int64)
    texts = np.array([f"c{i}" for i in range(30)])
    return pa.table(
        {
            names.EVENT_TIME: pa.array(micros).cast(pa.timestamp("us", tz="UTC")),
            **{f"x{i}": rng.normal(size=n) for i in range(NUMBERS)},
            **{f"t{i}": texts[rng.integers(0, 30, n)] for i in range(TEXTS)},
            names.SCORE: rng.random(n),
        }
    )


def evidently(path: Path, reference: Path) -> float:
    """Seconds to read both and run the preset."""
    evidently_data.silence()
    from evidently import Report  # noqa: PLC0415 - its import is not measured
    from evidently.presets import DataDriftPreset  # noqa: PLC0415

    began = time.perf_counter()
    current, before = (
        pd.read_parquet(one).drop(columns=names.EVENT_TIME) for one in (path, reference)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Report([DataDriftPreset()], include_tests=True).run(current, before).dict()
    return time.perf_counter() - began


def profiles(current: pa.Table, reference: pa.Table) -> float:
    """Seconds to add up a day's packed profiles by the minute and judge every column."""
    columns = [f"x{i}" for i in range(NUMBERS)] + [f"t{i}" for i in range(TEXTS)]
    built = build(reference.select(columns), reference[names.SCORE].to_numpy())
    cells = Binning(tuple(bins for bins in built.columns if not isinstance(bins, LogBins)))
    judge = Judge(Monitors(), _reference(cells, reference))
    packed = _packed(cells, current)
    window = Window(86_400, START + DAY)
    judge.judge(window, Profile.of(cells, *packed))  # its laws are found once, and stored
    began = time.perf_counter()
    judge.judge(window, Profile.of(cells, *packed))
    return time.perf_counter() - began


def _packed(cells: Binning, table: pa.Table) -> list[bytes]:
    batches = table.combine_chunks().to_batches(max_chunksize=65_536)
    return [one for b in batches for one in increments(b, cells).column("cells").to_pylist()]


def _reference(cells: Binning, table: pa.Table) -> Reference:
    size = len(table) // REFERENCE_DAYS
    parts = [
        Profile.of(cells, *_packed(cells, table.slice(i * size, size)))
        for i in range(REFERENCE_DAYS)
    ]
    starts = [int((START - (REFERENCE_DAYS - i) * DAY).timestamp()) for i in range(REFERENCE_DAYS)]
    blocks = Blocks(
        86_400,
        np.array(starts),
        np.stack([part.counts for part in parts]),
        np.stack([part.sums for part in parts]),
    )
    total = Profile(cells, blocks.counts.sum(axis=0), blocks.sums.sum(axis=0))
    return Reference(cells, total, blocks)
