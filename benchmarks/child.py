"""A module of the benchmarks in a session of its own, ended with all that it started."""

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
    """Run `python -m MODULE CONFIG MODEL ...` with the environment that the job gets.

    Gives a function that tells whether it still runs.
    """
    log = variant.config.state / "logs" / f"{variant.name}.log"
    arguments_of_java = jvm_arguments(variant.config)
    command = [sys.executable, "-m", module, str(variant.config_path), variant.name, *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**job_environment(variant.config), "JVM_ARGS": " ".join(arguments_of_java)},
            cwd=Path(__file__).parents[1],
            start_new_session=True,
        )
    try:
        yield lambda: process.poll() is None
    finally:
        process.terminate()
        process.wait()
        end_session(process.pid)
