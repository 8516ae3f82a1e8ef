"""Ctrl-C and SIGTERM, heard wherever they hit.

An exception is not enough. Python drops what is raised in a finalizer or in the callback of a weak
reference (`object.__del__` in its reference), and libraries in C may drop what is raised in a
callback of theirs: the process would run on, and nobody knows that it was told to stop.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator


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
def stops_on_signals(stop: Callable[[int], object]) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM call `stop` with their number, and raise nothing."""

    def handle(number: int, _: object) -> None:
        stop(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
