"""Detects a transform or prediction that hangs; no exception can interrupt its thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from driftline.streaming.scoring.lineup import Served

_CHECKS = 20  # within the time limit


class Watchdog:
    """Limits the time of one step at a time.

    Parameters:
        limit: time limit of a step.
        act: called from a separate thread if a step exceeds the limit; should end the process.
        predictions: whether to limit predictions; a model server's client has its own timeouts.
    """

    def __init__(
        self, limit: timedelta, act: Callable[[Served | None], None], *, predictions: bool
    ) -> None:
        self._predictions = predictions
        self._limit = limit.total_seconds()
        self._act = act
        self._watched: tuple[float, Served | None] | None = None
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def __call__(self, served: Served | None) -> Iterator[None]:
        """Limit one prediction of a version or, with None, the features of a batch."""
        if served is None or self._predictions:
            self._watched = (time.monotonic() + self._limit, served)
        try:
            yield
        finally:
            self._watched = None

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(min(self._limit / _CHECKS, 1.0)):
            watched = self._watched
            if watched is not None and time.monotonic() > watched[0]:
                self._watched = None
                self._act(watched[1])
