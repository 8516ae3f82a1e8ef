"""The command `driftline report`; heavy imports stay in the function."""

import json
import webbrowser
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.console import console
from driftline.cli.options import (
    DEFAULT_CONFIG,
    TIME_FORMATS,
    AsJson,
    ConfigPath,
    ModelName,
    duration,
    utc,
)
from driftline.errors import DriftlineError

if TYPE_CHECKING:
    from driftline.config import Config

_MAX_COLUMNS = 5  # that are printed

out = console()


def report(
    model: ModelName,
    window: Annotated[
        str | None, typer.Option(help="Length of the window, such as 1d. Default: the last day.")
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=TIME_FORMATS, help="Start, in event time (UTC), inclusive."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=TIME_FORMATS, help="End, in event time (UTC), exclusive."),
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Only this version. Default: all that served.")
    ] = None,
    rows: Annotated[
        int,
        typer.Option(min=10, max=100_000, help="Rows to sample from window and from reference."),
    ] = 5_000,
    to: Annotated[
        Path | None, typer.Option(help="HTML file to write. Default: in the state folder.")
    ] = None,
    browse: Annotated[bool, typer.Option("--open", help="Open the report in a browser.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Create an Evidently report of a window: drift, summary, data quality, performance.

    It compares a sample of the window's rows with a sample of the reference. The report is stored
    and linked from the window's verdicts and incidents.
    """
    from driftline.config import load
    from driftline.monitors.raw_rows.report import make

    loaded = load(config)
    loaded.model(model)
    span = _span(loaded, model, window, since, until)
    result = make(loaded, model, *span, version=version, rows=rows)
    path = to or loaded.folder("reports") / f"{model}-{result.id}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(result.html)
    if as_json:
        times = {"since": result.since.isoformat(), "until": result.until.isoformat()}
        facts = {"id": result.id, "path": str(path), "model": model, **times, **result.summary}
        typer.echo(json.dumps(facts, indent=2))
    else:
        out.print(f"report {result.id}: {_sentence(result.summary)}", highlight=False)
        out.print(str(path), highlight=False, soft_wrap=True)
    if browse:
        webbrowser.open(path.resolve().as_uri())


def _span(
    config: "Config",
    model: str,
    window: str | None,
    since: datetime | None,
    until: datetime | None,
) -> tuple[datetime, datetime]:
    from driftline.monitors.raw_rows.report import latest_window
    from driftline.storage.connection import connect

    if since is not None and until is not None and window is None:
        span = utc(since), utc(until)
    elif since is not None and until is None and window is not None:
        span = utc(since), utc(since) + duration(window, "--window")
    elif since is None and until is None:
        with connect(config.local_postgres(), "read", autocommit=True) as connection:
            return latest_window(connection, model, duration(window or "1d", "--window"))
    else:
        raise DriftlineError(
            "the window is ambiguous: give --since and --until, --since and --window, or only "
            "--window"
        )
    if span[1] - span[0] < timedelta(minutes=1):
        raise DriftlineError(
            f"the window from {span[0]} to {span[1]} is too short: give at least one minute"
        )
    return span


def _sentence(summary: dict[str, Any]) -> str:
    drifted = sorted(summary["drifted"])
    shown = ", ".join(drifted[:_MAX_COLUMNS]) + (", ..." if len(drifted) > _MAX_COLUMNS else "")
    parts = [
        f"{summary['rows']:,} rows against {summary['reference_rows']:,} ({summary['reference']})",
        f"{len(drifted)} columns drifted by Evidently's thresholds"
        + (f" ({shown})" if shown else ""),
    ]
    if summary["labelled"]:
        metrics = [f", {name} {summary[name]:.3f}" for name in ("RocAuc", "MAE") if name in summary]
        parts.append(f"{summary['labelled']:,} labels" + "".join(metrics))
    return "; ".join(parts)
