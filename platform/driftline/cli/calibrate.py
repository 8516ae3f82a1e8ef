"""`driftline calibrate`: what the reference of a model can support; heavy imports stay inside."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from driftline import names
from driftline.cli.console import console
from driftline.cli.monitoring import DEFAULT_CONFIG, AsJson, ConfigPath, ModelName

if TYPE_CHECKING:
    from driftline.monitors.calibration.support import Support


def calibrate(
    model: ModelName,
    version: Annotated[int | None, typer.Option(help="Default: the champion.")] = None,
    segment: Annotated[
        str, typer.Option(help="Such as country=de; default: all rows.")
    ] = names.ALL_ROWS,
    rows: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Rows of a window; repeatable. Default: what is usual."),
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help="Only this column; repeatable.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write a page with the picture of it.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show thresholds by size of window, what the reference supports, and what would be found."""
    from driftline.config import load
    from driftline.monitors.calibration.support import of_model

    out = console()
    loaded = load(config)
    supported = of_model(loaded, model, version, segment, rows)
    found = [one for one in supported.looks if not column or one.look.column in column]
    if plot is not None:
        from driftline.monitors.calibration.support_page import page

        plot.write_text(page(supported.title, found))
    if as_json:
        content = {**supported.summary(found), "looks": [asdict(one) for one in found]}
        out.print_json(json.dumps(content))
        return
    out.print(_table(found))
    for sentence in supported.sentences(found):
        out.print(Text(sentence), soft_wrap=True)
    if plot is not None:
        out.print(Text(f"wrote {plot}"))


def _table(found: "list[Support]") -> Table:
    table = Table(
        *("column", "monitor", "window", "rows", "expected", "alarms from", "change found"),
        *("level", "attainable", "a week", "by"),
    )
    for one in found:
        seconds = one.look.seconds
        window = f"{seconds // 86400} d" if seconds % 86400 == 0 else f"{seconds // 60} min"
        table.add_row(
            Text(one.look.column),
            one.look.monitor,
            window,
            f"{one.rows:,.0f}",
            *(_number(x) for x in (one.expected, one.threshold, one.detectable)),
            _level(one.level),
            Text(_level(one.attainable), style="" if one.honoured else "red"),
            f"{one.per_week:.3f}" if one.honoured else Text("not calibrated", style="red"),
            one.basis,
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _level(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"
