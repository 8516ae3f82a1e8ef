"""`driftline calibrate`: thresholds and attainable levels; heavy imports stay inside."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from driftline import names
from driftline.cli.console import console
from driftline.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, ModelName

if TYPE_CHECKING:
    from driftline.monitors.calibration.sensitivity import Sensitivity


def calibrate(
    model: ModelName,
    version: Annotated[
        int | None, typer.Option(help="Version number. Default: the champion.")
    ] = None,
    segment: Annotated[
        str, typer.Option(help="Segment, such as country=de. Default: all rows.")
    ] = names.ALL_ROWS,
    rows: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Rows per window; repeatable. Default: typical numbers."),
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help="Only this column; repeatable.")] = None,
    plot: Annotated[Path | None, typer.Option(help="HTML file to write with charts.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show alarm thresholds, attainable significance levels and the smallest detectable changes."""
    from driftline.config import load
    from driftline.monitors.calibration.sensitivity import of_model

    out = console()
    loaded = load(config)
    calibration = of_model(loaded, model, version, segment, rows)
    shown = [item for item in calibration.tests if not column or item.test.column in column]
    if plot is not None:
        from driftline.monitors.calibration.sensitivity_page import page

        plot.write_text(page(calibration.title, shown))
    if as_json:
        content = {**calibration.summary(shown), "tests": [asdict(item) for item in shown]}
        out.print_json(json.dumps(content))
        return
    out.print(_table(shown))
    for sentence in calibration.sentences(shown):
        out.print(Text(sentence), soft_wrap=True)
    if plot is not None:
        out.print(Text(f"wrote {plot}"))


def _table(sensitivities: "list[Sensitivity]") -> Table:
    table = Table(
        *("column", "monitor", "window", "rows", "expected", "alarms from", "detectable change"),
        *("level", "attainable", "per week", "basis"),
    )
    for item in sensitivities:
        seconds = item.test.seconds
        window = f"{seconds // 86400} d" if seconds % 86400 == 0 else f"{seconds // 60} min"
        table.add_row(
            Text(item.test.column),
            item.test.monitor,
            window,
            f"{item.rows:,.0f}",
            *(_number(x) for x in (item.expected, item.threshold, item.detectable)),
            _level(item.level),
            Text(_level(item.attainable), style="" if item.calibrated else "red"),
            f"{item.per_week:.3f}" if item.calibrated else Text("not calibrated", style="red"),
            item.basis,
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _level(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}"
