"""Runs the job of a variant with the supervisor of `driftline run`, in a thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import Variant
from driftline.streaming.flink.supervise import Supervisor


@contextmanager
def job(variant: Variant) -> Iterator[threading.Thread]:
    """Run the variant's job, and stop it at the end; yields the supervisor's thread."""
    supervisor = Supervisor(variant.config_path, variant.config, variant.name, restore="none")
    thread = threading.Thread(target=supervisor.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        supervisor.stop()
        thread.join()
