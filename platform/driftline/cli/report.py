"""The command `driftline report`; heavy imports stay in the function."""

import json
import webbrowser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.cli.console import console
from driftline.errors import DriftlineError

if TYPE_CHECKING:
    from driftline.config import Config

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
_WORST = 5  # columns that are printed

out = console()


def report(
    model: Annotated[str, typer.Argument(help="A model of the config.")],
    window: Annotated[
        str | None, typer.Option(help="The last whole window of this length, such as 1d.")
    ] = None,
    since: Annotated[
        datetime | None, typer.Option(formats=_FORMATS, help="Event time from here on (UTC).")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=_FORMATS, help="Event time before this (UTC).")
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Only this version; default: whatever served.")
    ] = None,
    rows: Annotated[
        int, typer.Option(min=10, max=100_000, help="Rows sampled, of window and reference.")
    ] = 5_000,
    to: Annotated[
        Path | None, typer.Option(help="The HTML file to write; default: in the state folder.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    config: Annotated[
        Path, typer.Option("--config", "-c", help="The config file.", envvar="DRIFTLINE_CONFIG")
    ] = Path("driftline.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Make Evidently's deep report of a window: drift, summary, quality, performance.

    It compares samples of raw rows with the reference's, is stored, and is linked from the
    window's verdicts and incidents.
    """
    from driftline.config import load
    from driftline.monitors.raw_rows.report import make

    loaded = load(config)
    loaded.model(model)
    span = _span(loaded, model, window, since, until)
    made = make(loaded, model, *span, version=version, rows=rows)
    path = to or loaded.folder("reports") / f"{model}-{made.id}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(made.html)
    if as_json:
        facts = {"id": made.id, "path": str(path), "model": model, "since": made.since.isoformat()}
        typer.echo(json.dumps({**facts, "until": made.until.isoformat(), **made.summary}, indent=2))
    else:
        out.print(f"report {made.id}: {_sentence(made.summary)}", highlight=False)
        out.print(str(path), highlight=False, soft_wrap=True)
    if open_it:
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
        span = _utc(since), _utc(until)
    elif since is not None and until is None and window is not None:
        span = _utc(since), _utc(since) + _length(window)
    elif since is None and until is None:
        with connect(config.local_postgres(), "read", autocommit=True) as connection:
            return latest_window(connection, model, _length(window or "1d"))
    else:
        raise DriftlineError(
            "which window? give --since and --until, or --since and --window, or --window alone"
        )
    if span[1] - span[0] < timedelta(minutes=1):
        raise DriftlineError(f"the window ends {span[1]} and begins {span[0]}: at least a minute")
    return span


def _length(text: str) -> timedelta:
    from driftline.config.types import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise DriftlineError(f"--window {text!r} is no length of time: {error}") from None


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _sentence(summary: dict[str, Any]) -> str:
    drifted = sorted(summary["drifted"])
    shown = ", ".join(drifted[:_WORST]) + (", ..." if len(drifted) > _WORST else "")
    parts = [
        f"{summary['rows']:,} rows against {summary['reference_rows']:,} ({summary['reference']})",
        f"{len(drifted)} columns drifted by Evidently's limits" + (f" ({shown})" if shown else ""),
    ]
    if summary["labelled"]:
        known = [f"{name} {summary[name]:.3f}" for name in ("RocAuc", "MAE") if name in summary]
        parts.append(f"{summary['labelled']:,} labels" + "".join(f", {one}" for one in known))
    return "; ".join(parts)
