"""driftline itself: `driftline run`'s supervisor over a variant, in a thread."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.bench import Variant
from driftline.streaming.flink.supervise import Supervisor


@contextmanager
def job(variant: Variant) -> Iterator[threading.Thread]:
    """The variant's job; stopped at the end. The thread lives as long as the supervisor."""
    supervisor = Supervisor(variant.config_path, variant.config, variant.name, restore="none")
    thread = threading.Thread(target=supervisor.run, daemon=True)
    thread.start()
    try:
        yield thread
    finally:
        supervisor.stop()
        thread.join()
