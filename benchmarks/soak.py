"""Does memory stay flat? The JVM and the Python workers over millions of events."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.processes import Processes
from driftline.config import Config
from driftline.storage.connection import connect
from driftline.streaming.progress import Watch

_LOOK = 1.0  # seconds
_WARM = 0.3  # of the events: caches, pools and the heap have their size then


@dataclass(frozen=True)
class Memory:
    """Resident memory, MB.

    Attributes:
        events: how many passed through.
        early_mb: mean while the events from 30 % to 50 % of them were settled.
        late_mb: mean over the last 20 %.
        peak_mb: the largest at any time.
    """

    events: int
    early_mb: dict[str, float]
    late_mb: dict[str, float]
    peak_mb: dict[str, float]

    def growth(self, who: str) -> float:
        """Late over early."""
        return self.late_mb[who] / self.early_mb[who]


def watch_memory(
    config: Config, model: str, total: int, alive: Callable[[], bool], processes: Processes
) -> Memory:
    """Sample until a running job has settled `total` events."""
    samples: list[tuple[int, dict[str, float]]] = []
    with connect(config.local_postgres(), "read", autocommit=True) as connection:
        watch = Watch(connection, model)
        while not samples or samples[-1][0] < total:
            if not alive():
                raise RuntimeError(f"{model!r} ended before its last event")
            samples.append((watch.look().events, processes.memory_mb()))
            time.sleep(_LOOK)
    return Memory(
        total,
        _mean(samples, _WARM * total, 0.5 * total),
        _mean(samples, 0.8 * total, total),
        {who: max(memory[who] for _, memory in samples) for who in samples[0][1]},
    )


def _mean(
    samples: list[tuple[int, dict[str, float]]], first: float, last: float
) -> dict[str, float]:
    chosen = [memory for events, memory in samples if first <= events <= last]
    if not chosen:
        raise RuntimeError("too few events to say anything about memory: send more")
    return {who: float(np.mean([memory[who] for memory in chosen])) for who in chosen[0]}
