"""What commands print on."""

import os
import sys

from rich.console import Console


def console() -> Console:
    """Standard output as it is now: a pipe has no width, so it is wide enough for the widest table.

    A terminal's own width and `COLUMNS` count.
    """
    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140)
