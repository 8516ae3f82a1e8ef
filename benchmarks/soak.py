"""Measures whether the memory of the JVM and the Python workers grows over millions of events."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.processes import Processes
from driftline.config import Config
from driftline.storage.connection import connect
from driftline.streaming.progress import ProgressReader

_SAMPLE_SECONDS = 1.0
_WARM = 0.3  # share of the events after which caches, pools and the heap have reached their size


@dataclass(frozen=True)
class Memory:
    """Resident memory, MB.

    Attributes:
        events: number of events processed.
        early_mb: mean from 30 % to 50 % of the events.
        late_mb: mean over the last 20 %.
        peak_mb: maximum.
    """

    events: int
    early_mb: dict[str, float]
    late_mb: dict[str, float]
    peak_mb: dict[str, float]

    def growth(self, process: str) -> float:
        """Ratio of late to early memory of "jvm" or "workers"."""
        return self.late_mb[process] / self.early_mb[process]


def watch_memory(
    config: Config, model: str, total: int, alive: Callable[[], bool], processes: Processes
) -> Memory:
    """Sample memory until a running job has settled `total` events."""
    samples: list[tuple[int, dict[str, float]]] = []
    with connect(config.local_postgres(), "read", autocommit=True) as connection:
        reader = ProgressReader(connection, model)
        while not samples or samples[-1][0] < total:
            if not alive():
                raise RuntimeError(f"{model!r} ended before its last event")
            samples.append((reader.read().events, processes.memory_mb()))
            time.sleep(_SAMPLE_SECONDS)
    return Memory(
        total,
        _mean(samples, _WARM * total, 0.5 * total),
        _mean(samples, 0.8 * total, total),
        {process: max(memory[process] for _, memory in samples) for process in samples[0][1]},
    )


def _mean(
    samples: list[tuple[int, dict[str, float]]], first: float, last: float
) -> dict[str, float]:
    selected = [memory for events, memory in samples if first <= events <= last]
    if not selected:
        raise RuntimeError("too few events to measure memory: increase --events")
    return {key: float(np.mean([memory[key] for memory in selected])) for key in selected[0]}
