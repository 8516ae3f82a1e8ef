"""Runs a module of the benchmarks in its own session, and ends it with all its processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Variant
from driftline.streaming.flink.supervise import end_session, job_environment
from driftline.streaming.jvm.gateway import jvm_arguments


@contextmanager
def child(variant: Variant, module: str, *arguments: str) -> Iterator[Callable[[], bool]]:
    """Run `python -m MODULE CONFIG MODEL ...` with the environment of a job.

    Yields a function that returns whether it still runs.
    """
    log = variant.config.state / "logs" / f"{variant.name}.log"
    java_arguments = jvm_arguments(variant.config)
    command = [sys.executable, "-m", module, str(variant.config_path), variant.name, *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**job_environment(variant.config), "JVM_ARGS": " ".join(java_arguments)},
            cwd=Path(__file__).parents[1],
            start_new_session=True,
        )
    try:
        yield lambda: process.poll() is None
    finally:
        process.terminate()
        process.wait()
        end_session(process.pid)
