"""Ctrl-C and SIGTERM, heard wherever they hit.

An exception is not enough. Python drops what is raised in a finalizer or in the callback of a weak
reference (`object.__del__` in its reference), and libraries in C may drop what is raised in a
callback of theirs: the process would run on, and nobody knows that it was told to stop.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

_Handler = Callable[[int, FrameType | None], object]


def repeat_dropped_signals() -> None:
    """Send this process a SIGINT or SIGTERM again when Python has dropped its exception."""
    show = sys.unraisablehook
    signals = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        number = signals.get(dropped.exc_type)
        if number is None:
            show(dropped)
            return
        later = threading.Timer(0.1, os.kill, [os.getpid(), number])  # here it would be dropped
        later.daemon = True
        later.start()

    sys.unraisablehook = hook


@contextlib.contextmanager
def stops_on_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM call `stop`, and raise nothing."""
    with _handled_by(lambda *_: stop()):
        yield


@contextlib.contextmanager
def exits_on_signals() -> Iterator[Callable[[], NoReturn]]:
    """Let Ctrl-C and SIGTERM exit with 130 and 143.

    Yields what waits for that: it exits at once if a signal came before and its exception was
    dropped.
    """
    received: queue.SimpleQueue[int] = queue.SimpleQueue()  # its `put` may interrupt itself

    def leave(number: int, _: FrameType | None) -> NoReturn:
        received.put(number)
        sys.exit(128 + number)

    def wait() -> NoReturn:
        sys.exit(128 + received.get())

    with _handled_by(leave):
        yield wait


@contextlib.contextmanager
def _handled_by(handler: _Handler) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
