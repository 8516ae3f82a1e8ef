"""Arguments and output that the commands of models share."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from driftline.cli.console import console

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", help="The config file.", envvar="DRIFTLINE_CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
ModelName = Annotated[str, typer.Argument(metavar="NAME", help="A model of the config.")]
VersionNumber = Annotated[int, typer.Argument(metavar="VERSION", min=1, help="Of its model.")]
WhyOption = Annotated[str | None, typer.Option("--reason", help="For the record.")]
DEFAULT_CONFIG = Path("driftline.yaml")


def echo(content: Any) -> None:
    """Print JSON; times in ISO form."""
    typer.echo(json.dumps(content, indent=2, default=lambda one: one.isoformat()))


def say(text: str) -> None:
    """Print a sentence, which may hold anything."""
    console().print(Text(text), highlight=False, soft_wrap=True)


def show(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print a table; None is an empty cell."""
    table = Table(*columns, title=title or None, title_justify="left")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console().print(table)
