"""Reliable handling of Ctrl-C and SIGTERM.

An exception is not enough. Python drops exceptions in finalizers and in callbacks of weak
references (`object.__del__` in its reference), and C libraries may drop exceptions in their
callbacks. The process would continue to run without a sign that it should stop.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator


def repeat_dropped_signals() -> None:
    """Send this process a SIGINT or SIGTERM again if Python has dropped its exception."""
    show = sys.unraisablehook
    signals = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        number = signals.get(dropped.exc_type)
        if number is None:
            show(dropped)
            return
        later = threading.Timer(0.1, os.kill, [os.getpid(), number])  # now it would be dropped
        later.daemon = True
        later.start()

    sys.unraisablehook = hook


@contextlib.contextmanager
def stops_on_signals(stop: Callable[[int], object]) -> Iterator[None]:
    """Make Ctrl-C and SIGTERM call `stop` with their number instead of raising."""

    def handle(number: int, _: object) -> None:
        stop(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
