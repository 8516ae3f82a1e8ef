"""`driftline monitor`, `backfill` and `alerts …`; heavy imports stay inside."""

import json
import logging
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
from driftline.signals import stops_on_signals
from driftline.user import current_user
from driftline.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from driftline.storage.monitoring.alerts import Alert
    from driftline.storage.monitoring.coverage import Unwatched
    from driftline.storage.monitoring.incidents import Incident

IncidentId = Annotated[int, typer.Argument(help="Incident ID.")]
OneModel = Annotated[
    str | None, typer.Argument(metavar="[MODEL]", help="Only this model. Default: all.")
]
Since = Annotated[
    datetime, typer.Option(formats=TIME_FORMATS, help="Start, in event time (UTC), inclusive.")
]
Until = Annotated[
    datetime, typer.Option(formats=TIME_FORMATS, help="End, in event time (UTC), exclusive.")
]
Reason = Annotated[str, typer.Option("--reason", help="Reason, for the record.")]
FamilyOption = Annotated[
    str | None,
    typer.Option("--family", help="Only this family of monitors, such as drift. Default: all."),
]
NOT_WATCHED = 3  # exit code

alerts = typer.Typer(
    help="Show alerts and incidents; acknowledge, accept or silence them.", no_args_is_help=True
)


def monitor(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Models. Default: all.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Judge the windows due, then exit.")] = False,
    until_idle: Annotated[
        bool,
        typer.Option("--until-idle", help="For a stream that has ended: judge all of it and exit."),
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Judge windows as they end and send notifications, until Ctrl-C."""
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
    if runner.started is not None:  # else it was interrupted before
        with connect(loaded.local_postgres(), "read") as connection:
            opened = opened_since(connection, runner.started, runner.models)
    incidents = f"{counted(len(opened), 'incident')} opened" + (":" if opened else "")
    typer.echo(f"{counted(windows, 'window')} judged, {incidents}")
    for incident in opened:
        typer.echo(
            f"  {incident.id} {incident.model} {incident.family} ({_state(incident)}): "
            f"{incident.summary}"
        )


def backfill(
    model: ModelName,
    since: Since,
    until: Until,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Judge the windows of a past period again, without changing alerts or notifying anybody."""
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
    model: OneModel = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also show alerts that are ok.")
    ] = False,
    judged_within: Annotated[
        str | None,
        typer.Option(
            help="Count a model that was judged this recently, such as '2 h', as watched even if "
            "no runner is running."
        ),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show alerts that are not ok, and models that are not watched.

    Exit code 1 if an alert is firing, 3 if none is but a model is not watched.
    """
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.monitoring import alerts, coverage

    loaded = load(config)
    models = list(loaded.models) if model is None else [model]
    for name in models:
        loaded.model(name)
    recent = None if judged_within is None else duration(judged_within, "--judged-within")
    with connect(loaded.local_postgres(), "read") as connection:
        states = alerts.read(connection, model)
        unwatched = coverage.unwatched(connection, models, judged_within=recent)
    shown = [alert for alert in states if everything or alert.state not in ("ok", "no_data")]
    if as_json:
        _echo({"alerts": list(map(asdict, shown)), "unwatched": list(map(asdict, unwatched))})
    else:
        _show_alerts(shown, unwatched)
    if any(alert.state == "firing" for alert in shown):
        raise typer.Exit(1)
    if unwatched:
        raise typer.Exit(NOT_WATCHED)


def _show_alerts(shown: "Sequence[Alert]", unwatched: "Sequence[Unwatched]") -> None:
    for model in unwatched:
        since = (
            "never watched" if model.since is None else f"not watched since {_minute(model.since)}"
        )
        console().print(Text(f"{model.model}: {since}: {model.reason}; {model.fix}"))
    table = Table("model", "family", "state", "severity", "state since", "incident", "summary")
    for alert in shown:
        notes = [f"acknowledged by {alert.acknowledged_by}"] if alert.acknowledged_by else []
        notes += ["silenced"] if alert.silenced_until else []
        table.add_row(
            alert.model,
            alert.family,
            f"{alert.state} ({', '.join(notes)})" if notes else alert.state,
            alert.severity,
            _minute(alert.since),
            "" if alert.incident_id is None else str(alert.incident_id),
            Text(alert.summary),
        )
    if shown:
        console().print(table)
    elif not unwatched:
        console().print("no alerts")


@alerts.command("show")
def alerts_show(
    incident: IncidentId,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show an incident and the verdicts that contributed to it."""
    from driftline.config import load
    from driftline.monitors.alerts.messages import length as length_text
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.incidents import require

    with connect(load(config).local_postgres(), "read") as connection:
        record = require(connection, incident)
    if as_json:
        _echo(asdict(record))
        return
    table = Table("", "", title=f"incident {incident}", title_justify="left")
    values = asdict(record) | {
        "duration": length_text(int((record.last - record.since).total_seconds()))
    }
    for name, value in values.items():
        if name != "contributors":
            table.add_row(name.replace("_", " "), Text("" if value is None else str(value)))
    parts = Table("column", "monitor", "segment", "window", "effect", "p-value", "detail")
    for verdict in record.contributors:
        parts.add_row(
            *(Text(str(verdict[key])) for key in ("column", "monitor", "segment")),
            length_text(verdict["window_seconds"]),
            _number(verdict["effect"]),
            _number(verdict["p_value"]),
            Text(verdict["detail"]),
        )
    console().print(table, parts)


def alerts_ack(
    incident: IncidentId, reason: Reason = "", config: ConfigPath = DEFAULT_CONFIG
) -> None:
    """Acknowledge an incident; you are notified again only when it resolves."""
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.incidents import acknowledge

    with connect(load(config).local_postgres(), "write") as connection:
        if not acknowledge(connection, incident, current_user(), reason):
            raise DriftlineError(
                f"incident {incident} is not open: 'driftline alerts list' shows open ones"
            )
    typer.echo(f"incident {incident} is acknowledged by {current_user()}")


def alerts_accept(
    incident: IncidentId, reason: Reason = "", config: ConfigPath = DEFAULT_CONFIG
) -> None:
    """Accept the change that an incident reports as the new normal, and resolve the incident.

    Later windows are compared with those since the incident began.
    """
    from driftline.config import load
    from driftline.monitors.alerts.accept import accept

    accepted = accept(load(config), incident, current_user(), reason)
    typer.echo(
        f"incident {incident} is accepted: {accepted.family} of {accepted.model} since "
        f"{_minute(accepted.since)} is the new normal"
    )


def alerts_silence(
    model: ModelName,
    length: Annotated[str, typer.Option("--for", help="Duration, such as '2 h'.")],
    family: FamilyOption = None,
    reason: Reason = "",
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Silence notifications for a model; incidents are still recorded."""
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.silences import add

    loaded = load(config)
    loaded.model(model)
    _require_family(family)
    with connect(loaded.local_postgres(), "write") as connection:
        period = duration(length, "--for")
        number = add(connection, model, family, period, by=current_user(), reason=reason)
    typer.echo(f"silence {number}: {model} {family or 'all families'} for {length}")


def alerts_unsilence(
    model: ModelName, family: FamilyOption = None, config: ConfigPath = DEFAULT_CONFIG
) -> None:
    """End the silences of a model."""
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.silences import end

    _require_family(family)
    with connect(load(config).local_postgres(), "write") as connection:
        typer.echo(f"{counted(end(connection, model, family), 'silence')} ended")


@alerts.command("history")
def alerts_history(
    model: OneModel = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most N, newest first.")] = 20,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show open and resolved incidents."""
    from driftline.config import load
    from driftline.storage.connection import connect
    from driftline.storage.monitoring.incidents import history

    with connect(load(config).local_postgres(), "read") as connection:
        incidents = history(connection, model, limit)
    if as_json:
        _echo([asdict(incident) for incident in incidents])
        return
    times = ("first alarm", "last alarm")  # in event time
    table = Table("incident", "model", "family", "severity", *times, "state", "summary")
    for incident in incidents:
        table.add_row(
            str(incident.id),
            incident.model,
            incident.family,
            incident.severity,
            _minute(incident.since),
            _minute(incident.last),
            _state(incident),
            Text(incident.summary),
        )
    console().print(table)


def _state(incident: "Incident") -> str:
    if incident.resolved_at is not None:
        return "resolved"
    user = incident.acknowledged_by
    return "open" if user is None else f"acknowledged by {user}"


def _require_family(family: str | None) -> None:
    from driftline.monitors.alerts.alerting import FAMILIES

    if family is not None and family not in FAMILIES:
        raise DriftlineError(f"unknown family {family!r}: give one of {', '.join(FAMILIES)}")


def _minute(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _echo(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, default=str))
