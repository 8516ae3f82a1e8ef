"""What commands print on."""

import os
import sys

from rich.console import Console


def console() -> Console:
    """Standard output as it is now: a pipe has no width, so it is wide enough for the widest table.

    A terminal's own width and `COLUMNS` count.
    """
    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140)


def counted(n: int, noun: str) -> str:
    """A number of things in words.

    >>> counted(1, "window"), counted(1_200, "window")
    ('1 window', '1,200 windows')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
