"""`driftline reference …`; heavy imports stay inside."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from driftline import names
from driftline.cli.console import console
from driftline.cli.options import (
    DEFAULT_CONFIG,
    TIME_FORMATS,
    AsJson,
    ConfigPath,
    ModelName,
    utc,
)
from driftline.errors import DriftlineError

if TYPE_CHECKING:
    from driftline.monitors.references.compare_reference import Compared
    from driftline.storage.monitoring.references import StoredReference

_Since = Annotated[
    datetime | None,
    typer.Option(formats=TIME_FORMATS, help="Start, in event time (UTC), inclusive."),
]
_Until = Annotated[
    datetime | None,
    typer.Option(formats=TIME_FORMATS, help="End, in event time (UTC), exclusive."),
]
_Version = Annotated[int | None, typer.Option(min=1, help="Version number. Default: the champion.")]

reference = typer.Typer(
    help="Set, show and compare the references of model versions.", no_args_is_help=True
)


@reference.command("set")
def reference_set(
    model: ModelName,
    since: _Since = None,
    until: _Until = None,
    file: Annotated[
        Path | None, typer.Option(help="Parquet file with features and score, instead of a window.")
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(help="Column of event times in the file; needed to estimate variation."),
    ] = None,
    block: Annotated[
        str | None, typer.Option(help="Length of blocks. Default: what the windows need.")
    ] = None,
    version: _Version = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Set a version's reference: a past window of predictions (--since, --until) or a file."""
    from driftline.config import load
    from driftline.monitors.references.set_reference import from_file, from_window

    loaded, seconds = load(config), _seconds(block)
    if file is not None:
        stored = from_file(
            loaded, model, file, version=version, time_column=time_column, seconds=seconds
        )
    elif since is not None and until is not None:
        stored = from_window(
            loaded, model, utc(since), utc(until), version=version, seconds=seconds
        )
    else:
        raise DriftlineError("give a window (--since and --until) or a file (--file)")
    _print(_facts(stored), as_json)


@reference.command("show")
def reference_show(
    model: ModelName,
    version: _Version = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show a version's reference: its origin, blocks of time and effective number of windows."""
    from driftline.config import load
    from driftline.monitors.calibration.judges import Judges
    from driftline.monitors.calibration.sensitivity import (
        effective_windows,
        provisional,
        sensitivities,
        typical_rows,
    )
    from driftline.monitors.references.set_reference import champion
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.references import lengths, read

    loaded = load(config)
    loaded.model(model)
    with connect(loaded.local_postgres(), "read") as connection:
        number = version or champion(connection, model)
        stored = _require(read(connection, model, number), model, number)
        blocks = [
            {"segment": segment, "seconds": seconds, "blocks": n}
            for segment, seconds, n in lengths(connection, model, number)
        ]
        judges = Judges(model, loaded.model(model))
        judges.refresh(connection)
        judge = judges.get(connection, number, names.ALL_ROWS)
        windows = effective_windows(judge)
        looks = sensitivities(judge, typical_rows(judge))
    effective = [{"seconds": seconds, "windows": round(n, 1)} for seconds, n in windows.items()]
    facts = {
        "provisional": provisional(looks) > 0,
        "blocks": blocks,
        "effective_windows": effective,
    }
    _print({**_facts(stored), **facts}, as_json)


@reference.command("compare")
def reference_compare(
    model: ModelName,
    since: _Since = None,
    until: _Until = None,
    other: Annotated[
        int | None,
        typer.Option("--with", min=1, help="Compare with this version's reference instead."),
    ] = None,
    version: _Version = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compare a window (--since, --until) or another version's reference with a reference."""
    from driftline.config import load
    from driftline.monitors.references.compare_reference import compare
    from driftline.monitors.references.set_reference import champion
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.references import read
    from driftline.storage.profiles import profile_rows

    loaded = load(config)
    loaded.model(model)
    with connect(loaded.local_postgres(), "read") as connection:
        number = version or champion(connection, model)
        stored = _require(read(connection, model, number), model, number)
        if other is not None:
            current = _require(read(connection, model, other), model, other).profile
        elif since is not None and until is not None:
            binning = stored.profile.binning
            current = profile_rows.window(connection, model, binning, utc(since), utc(until))
        else:
            raise DriftlineError("compare with a window (--since and --until) or --with VERSION")
    columns = compare(current, stored.profile)
    if as_json:
        typer.echo(json.dumps([asdict(column) for column in columns], indent=2))
    else:
        console().print(_table(columns))


def _seconds(text: str | None) -> int | None:
    from driftline.config.types import parse_duration

    if text is None:
        return None
    try:
        seconds = int(parse_duration(text).total_seconds())
    except ValueError as error:
        raise DriftlineError(f"invalid --block {text!r}: {error}") from None
    if seconds < 60 or seconds % 60 or (86_400 % seconds and seconds % 86_400):
        raise DriftlineError(f"invalid --block {text!r}: give whole minutes that divide a day")
    return seconds


def _require(stored: "StoredReference | None", model: str, version: int) -> "StoredReference":
    if stored is None:
        raise DriftlineError(
            f"version {version} of model {model!r} has no reference: "
            f"set one with 'driftline reference set {model} --version {version} ...'"
        )
    return stored


def _facts(stored: "StoredReference") -> dict[str, Any]:
    return {
        "model": stored.model,
        "version": stored.version,
        "rows": stored.profile.rows,
        "origin": stored.origin,
        "since": _text(stored.since),
        "until": _text(stored.until),
        "block_seconds": stored.block_seconds,
        "binning": stored.profile.binning.id,
        "note": stored.note,
    }


def _text(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).isoformat(timespec="minutes")


def _print(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    table = Table("", "")
    for key, value in facts.items():
        if key == "blocks":
            for row in value:
                name = f"blocks of {row['seconds']} s {row['segment']}".strip()
                table.add_row(Text(name), f"{row['blocks']:,}")
        elif key == "effective_windows":
            for row in value:
                n = row["windows"]
                attainable = f"; levels down to {1 / (10 * n):.1g}" if n else ""
                table.add_row(f"effective windows of {row['seconds']} s", f"{n:,}{attainable}")
        elif value not in (None, ""):
            shown = f"{value:,}" if key == "rows" else str(value)
            table.add_row(key.replace("_", " "), Text(shown))
    console().print(table)


def _table(columns: "list[Compared]") -> Table:
    distances = list(columns[0].distances) if columns else []
    headings = ("column", "rows", "mean", "reference", "missing", "reference")
    table = Table(*headings, *(name.replace("_", " ") for name in distances))
    for column in columns:
        table.add_row(
            Text(column.column),
            f"{column.rows:,}",
            _number(column.mean),
            _number(column.reference_mean),
            f"{column.missing:.2%}",
            f"{column.reference_missing:.2%}",
            *(_number(column.distances[name]) for name in distances),
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
