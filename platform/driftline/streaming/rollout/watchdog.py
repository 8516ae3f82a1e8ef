"""Ends a worker that hangs in a transform or a prediction: nothing else gets a thread out of it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from driftline.streaming.scoring.lineup import Served

_LOOKS = 20  # in the time limit


class Watchdog:
    """Watches over one step at a time.

    Parameters:
        limit: how long one may take.
        act: called from a thread of its own when one takes longer; it should not return.
        predictions: whether to watch over them; a model server has limits of its own.
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
        """Watch over one prediction of a version, or over the features of a batch."""
        if served is None or self._predictions:
            self._watched = (time.monotonic() + self._limit, served)
        try:
            yield
        finally:
            self._watched = None

    def close(self) -> None:
        """Watch no more."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(min(self._limit / _LOOKS, 1.0)):
            watched = self._watched
            if watched is not None and time.monotonic() > watched[0]:
                self._watched = None
                self._act(watched[1])
