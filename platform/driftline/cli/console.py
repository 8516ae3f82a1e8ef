"""What commands print on, and how they print sentences, tables and JSON."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def console() -> Console:
    """Standard output; without a terminal it is wide enough for the widest table.

    A terminal's own width and `COLUMNS` count.
    """
    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140)


def print_json(content: Any) -> None:
    """Print JSON; times in ISO form."""
    typer.echo(json.dumps(content, indent=2, default=lambda value: value.isoformat()))


def print_line(text: str) -> None:
    """Print a sentence unchanged: brackets in it are not markup."""
    console().print(Text(text), highlight=False, soft_wrap=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print a table; None is an empty cell."""
    table = Table(*columns, title=title or None, title_justify="left")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console().print(table)
