"""`driftline monitor`, `backfill`, `alerts …` and `reference …`; heavy imports stay inside."""

import json
import logging
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from driftline.cli.console import console
from driftline.errors import DriftlineError
from driftline.signals import stops_on_signals
from driftline.user import current_user
from driftline.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from driftline.storage.monitoring.alerts import Alert
    from driftline.storage.monitoring.coverage import Unwatched
    from driftline.storage.monitoring.incidents import Incident

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", help="The config file.", envvar="DRIFTLINE_CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="A model of the config.")]
_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"]
Since = Annotated[datetime, typer.Option(formats=_FORMATS, help="From this event time on (UTC).")]
Until = Annotated[datetime, typer.Option(formats=_FORMATS, help="Before this event time (UTC).")]
Reason = Annotated[str, typer.Option("--reason", help="For the record.")]
FamilyOption = Annotated[str | None, typer.Option("--family", help="Only this family.")]
DEFAULT_CONFIG = Path("driftline.yaml")
NOT_WATCHED = 3  # exit code

alerts = typer.Typer(help="What is wrong, and who looks after it.", no_args_is_help=True)


def monitor(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Default: all.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Judge what is due, then end.")] = False,
    until_idle: Annotated[
        bool,
        typer.Option("--until-idle", help="The stream has ended: judge all of it, then end."),
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Judge the windows of models as they end, and notify people; until Ctrl-C."""
    from driftline.config import load
    from driftline.monitors.running.runner import Runner
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.incidents import opened_since

    logging.getLogger("monitors").setLevel(logging.INFO)
    loaded = load(config)
    runner = Runner(loaded, models)
    with stops_on_signals(lambda _: runner.stop()):
        if not (once or until_idle):
            runner.run()
            return
        with Console(stderr=True).status("judging") as status:
            windows = runner.run(
                once=once,
                until_idle=until_idle,
                progress=lambda n: status.update(f"{counted(n, 'window')} judged"),
            )
    opened: list[Incident] = []
    if runner.started is not None:  # interrupted before
        with connect(loaded.local_postgres(), "read") as connection:
            opened = opened_since(connection, runner.started, runner.models)
    incidents = f"{counted(len(opened), 'incident')} opened" + (":" if opened else "")
    typer.echo(f"{counted(windows, 'window')} judged, {incidents}")
    for one in opened:
        typer.echo(f"  {one.id} {one.model} {one.family} ({_state(one)}): {one.summary}")


def backfill(
    model: ModelName,
    since: Since,
    until: Until,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Judge the windows of a past stretch of event time; no alert moves, nobody is told."""
    from driftline.config import load
    from driftline.monitors.running.backfill import backfill as judge

    err = Console(stderr=True)
    with err.status("judging") as status:
        done = judge(
            load(config),
            model,
            utc(since),
            utc(until),
            progress=lambda n, of: status.update(f"{n:,} of {of:,} windows"),
        )
    text = f"{counted(done, 'window')} judged"
    typer.echo(json.dumps({"windows": done}) if as_json else text)


@alerts.command("list")
def alerts_list(
    model: Annotated[str | None, typer.Argument(help="Only this model; default: all.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also families that are ok.")] = False,
    judged_within: Annotated[
        str | None,
        typer.Option(
            help="Accept models judged within this time, such as '2 h', without a running runner."
        ),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the state of every family that is not ok, and which models are not watched.

    Exit code 1 if one fires, 3 if none does but a model is not watched.
    """
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.monitoring import coverage
    from driftline.storage.monitoring.alerts import of

    loaded = load(config)
    models = list(loaded.models) if model is None else [model]
    for one in models:
        loaded.model(one)
    recent = None if judged_within is None else _duration(judged_within, "--judged-within")
    with connect(loaded.local_postgres(), "read") as connection:
        found = of(connection, model)
        unwatched = coverage.unwatched(connection, models, judged_within=recent)
    shown = [one for one in found if everything or one.state not in ("ok", "no_data")]
    if as_json:
        _echo({"alerts": list(map(asdict, shown)), "unwatched": list(map(asdict, unwatched))})
    else:
        _show_alerts(shown, unwatched)
    if any(one.state == "firing" for one in shown):
        raise typer.Exit(1)
    if unwatched:
        raise typer.Exit(NOT_WATCHED)


def _show_alerts(shown: "Sequence[Alert]", unwatched: "Sequence[Unwatched]") -> None:
    for model in unwatched:
        since = (
            "never watched" if model.since is None else f"not watched since {_minute(model.since)}"
        )
        console().print(Text(f"{model.model}: {since}: {model.reason}; {model.fix}"))
    table = Table("model", "family", "state", "severity", "state since", "incident", "what")
    for one in shown:
        notes = [f"acknowledged by {one.acknowledged_by}"] if one.acknowledged_by else []
        notes += ["silenced"] if one.silenced_until else []
        table.add_row(
            one.model,
            one.family,
            f"{one.state} ({', '.join(notes)})" if notes else one.state,
            one.severity,
            _minute(one.since),
            "" if one.incident_id is None else str(one.incident_id),
            Text(one.summary),
        )
    if shown:
        console().print(table)
    elif not unwatched:
        console().print("all quiet")


@alerts.command("show")
def alerts_show(
    incident: Annotated[int, typer.Argument(help="Its number.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show one incident with everything that contributed."""
    from driftline.config import load
    from driftline.monitors.alerts.messages import length as length_text
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.incidents import require

    with connect(load(config).local_postgres(), "read") as connection:
        found = require(connection, incident)
    if as_json:
        _echo(asdict(found))
        return
    table = Table("", "", title=f"incident {incident}", title_justify="left")
    values = asdict(found) | {
        "duration": length_text(int((found.last - found.since).total_seconds()))
    }
    for name, value in values.items():
        if name != "contributors":
            table.add_row(name.replace("_", " "), Text("" if value is None else str(value)))
    parts = Table("column", "monitor", "segment", "window", "effect", "p-value", "detail")
    for one in found.contributors:
        parts.add_row(
            *(Text(str(one[key])) for key in ("column", "monitor", "segment")),
            length_text(one["window_seconds"]),
            _number(one["effect"]),
            _number(one["p_value"]),
            Text(one["detail"]),
        )
    console().print(table, parts)


def alerts_ack(
    incident: Annotated[int, typer.Argument(help="Its number.")],
    reason: Reason = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Say that you look after an incident; it is told again only when it is over."""
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.incidents import acknowledge

    with connect(load(config).local_postgres(), "write") as connection:
        if not acknowledge(connection, incident, current_user(), reason):
            raise DriftlineError(
                f"incident {incident} is not open: 'driftline alerts list' shows what is"
            )
    typer.echo(f"incident {incident} is acknowledged by {current_user()}")


def alerts_accept(
    incident: Annotated[int, typer.Argument(help="Its number.")],
    reason: Reason = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Say that what an incident found is usual from now on; it ends, and later windows are compared
    with those since it began."""
    from driftline.config import load
    from driftline.monitors.alerts.accept import accept

    found = accept(load(config), incident, current_user(), reason)
    typer.echo(
        f"incident {incident} is accepted: {found.family} of {found.model} as since "
        f"{_minute(found.since)} is usual from now on"
    )


def alerts_silence(
    model: ModelName,
    length: Annotated[str, typer.Option("--for", help="How long, such as '2 h'.")],
    family: FamilyOption = None,
    reason: Reason = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Tell nobody about a model, or one family of it, for a while; incidents are still kept."""
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.silences import add

    loaded = load(config)
    loaded.model(model)
    _known(family)
    with connect(loaded.local_postgres(), "write") as connection:
        duration = _duration(length, "--for")
        number = add(connection, model, family, duration, by=current_user(), reason=reason)
    typer.echo(f"silence {number}: {model} {family or 'all families'} for {length}")


def alerts_unsilence(
    model: ModelName, family: FamilyOption = None, config: ConfigPath = DEFAULT_CONFIG
) -> None:
    """End the silences of a model, or of one family of it."""
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.silences import end

    _known(family)
    with connect(load(config).local_postgres(), "write") as connection:
        typer.echo(f"{counted(end(connection, model, family), 'silence')} ended")


@alerts.command("history")
def alerts_history(
    model: Annotated[str | None, typer.Argument(help="Only this model; default: all.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show past and open incidents, the newest first."""
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.incidents import history

    with connect(load(config).local_postgres(), "read") as connection:
        found = history(connection, model, limit)
    if as_json:
        _echo([asdict(one) for one in found])
        return
    times = ("first alarm", "last alarm")  # in event time
    table = Table("incident", "model", "family", "severity", *times, "state", "what")
    for one in found:
        table.add_row(
            str(one.id),
            one.model,
            one.family,
            one.severity,
            _minute(one.since),
            _minute(one.last),
            _state(one),
            Text(one.summary),
        )
    console().print(table)


def _state(one: "Incident") -> str:
    if one.resolved_at is not None:
        return "resolved"
    return "open" if one.acknowledged_by is None else f"acknowledged by {one.acknowledged_by}"


def _known(family: str | None) -> None:
    from driftline.monitors.alerts.alerting import FAMILIES

    if family is not None and family not in FAMILIES:
        raise DriftlineError(f"no family {family!r}: one of {', '.join(FAMILIES)}")


def _duration(text: str, option: str) -> timedelta:
    from driftline.config.types import parse_duration

    try:
        length = parse_duration(text)
    except ValueError as error:
        raise DriftlineError(f"invalid {option} {text!r}: {error}") from None
    if not length:
        raise DriftlineError(f"invalid {option} {text!r}: must be greater than 0 s")
    return length


def utc(time: datetime) -> datetime:
    """What a person types is UTC unless it says otherwise."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _echo(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, default=str))
