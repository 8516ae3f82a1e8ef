"""CPU time and memory of a variant's processes, and a description of the machine."""

import contextlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from driftline.services.stack import Stack


@dataclass(frozen=True)
class Cpu:
    """CPU seconds used since the start of the processes.

    Attributes:
        client: the processes that read, score and write: the job's JVM and workers, or the loop.
        database: all processes of PostgreSQL.
        broker: Kafka.
    """

    client: float
    database: float
    broker: float

    def __sub__(self, other: "Cpu") -> "Cpu":
        return Cpu(
            self.client - other.client, self.database - other.database, self.broker - other.broker
        )


class Processes:
    """The processes of the benchmark and of the stack's services."""

    def __init__(self, stack: Stack) -> None:
        self._services = {
            status.name: psutil.Process(status.pid) for status in stack.status() if status.pid
        }

    def cpu(self) -> Cpu:
        """CPU time used until now."""
        return Cpu(
            sum(map(_cpu_seconds, self.client())),
            sum(map(_cpu_seconds, _tree(self._services["timescaledb"]))),
            sum(map(_cpu_seconds, _tree(self._services["kafka"]))),
        )

    def client(self) -> Iterator[psutil.Process]:
        """The processes that the benchmark has started, without the services."""
        services = {process.pid for root in self._services.values() for process in _tree(root)}
        for process in psutil.Process().children(recursive=True):
            if process.pid not in services:
                yield process

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of the JVM and of the Python workers, MB."""
        memory = {"jvm": 0.0, "workers": 0.0}
        for process in self.client():
            with contextlib.suppress(psutil.NoSuchProcess):
                resident = process.memory_info().rss / 1e6
                if process.name() == "java":
                    memory["jvm"] += resident
                elif "pyflink.fn_execution.beam.beam_boot" in process.cmdline():
                    memory["workers"] += resident
        return memory


def machine() -> dict[str, str | int]:
    """Properties of the machine that affect the figures; nothing that identifies it."""
    return {
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(process: psutil.Process) -> float:
    """CPU time of a process and of its children that have exited."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
