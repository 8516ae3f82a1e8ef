"""The `driftline` command; subcommands import what they need when they run: --help is instant."""

import json
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from driftline import __version__
from driftline.cli import monitoring, store
from driftline.cli.calibrate import calibrate
from driftline.cli.console import console
from driftline.cli.dashboards import dashboards
from driftline.cli.grafana_silences import notifying_grafana, with_silences_synced
from driftline.cli.models import models
from driftline.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, ModelName, Yes
from driftline.cli.preview import preview
from driftline.cli.reference import reference
from driftline.cli.report import report
from driftline.cli.send import labels, send
from driftline.cli.topics import topics
from driftline.errors import DriftlineError
from driftline.signals import repeat_dropped_signals, stops_on_signals

if TYPE_CHECKING:
    from driftline.services.stack import Stack

app = typer.Typer(
    name="driftline",
    help="ML observability and model monitoring for models that run on event streams.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
config_app = typer.Typer(
    help="Validate driftline.yaml and print its JSON Schema.", no_args_is_help=True
)
app.add_typer(config_app, name="config")
app.add_typer(models, name="models")
app.add_typer(topics, name="topics")
app.add_typer(labels, name="labels")
app.add_typer(dashboards, name="dashboards")
app.add_typer(store.rejected, name="rejected")
app.add_typer(monitoring.alerts, name="alerts")
app.add_typer(reference, name="reference")
for command in (
    send,
    store.audit,
    store.explain,
    store.republish,
    store.compact,
    report,
    calibrate,
    preview,
):
    app.command()(command)
app.command()(with_silences_synced(monitoring.monitor))
monitoring.alerts.command("ack")(notifying_grafana(monitoring.alerts_ack))
monitoring.alerts.command("accept")(notifying_grafana(monitoring.alerts_accept))
monitoring.alerts.command("silence")(notifying_grafana(monitoring.alerts_silence))
monitoring.alerts.command("unsilence")(notifying_grafana(monitoring.alerts_unsilence))
app.command()(monitoring.backfill)

out = console()
err = Console(stderr=True)


def main() -> None:
    """Run the command; a `DriftlineError` is printed without a traceback, exit code 1.

    SIGTERM cleans up as Ctrl-C does, except where a command installs its own handler.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    repeat_dropped_signals()
    try:
        app()
    except DriftlineError as error:
        err.print(f"[red]error:[/red] {_plain(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Enable verbose logging.")
    ] = False,
) -> None:
    """ML observability and model monitoring for models that run on event streams."""
    if version:
        out.print(f"driftline {__version__}", highlight=False)
        raise typer.Exit
    level = logging.INFO if verbose else logging.WARNING
    handler = RichHandler(console=err, show_path=False)
    logging.basicConfig(level=level, format="%(message)s", handlers=[handler])


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Path of the new config file.")] = DEFAULT_CONFIG,
) -> None:
    """Create a commented example driftline.yaml."""
    from driftline.config.template import TEMPLATE

    try:
        with path.open("x") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise DriftlineError(f"{str(path)!r} already exists: give another path") from None
    out.print(f"wrote {path}; edit it, then validate it with 'driftline config check'")


@config_app.command("check")
def config_check(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Validate the config file and every model's feature definition.

    Warns about connections that are not encrypted or not authenticated.
    """
    from driftline.config import load
    from driftline.config.transport import exposed
    from driftline.streaming.flink.check import check_model

    loaded = load(config)
    for name in loaded.models:
        check_model(loaded, name)
    warnings = [f"{exposure.problem}: {exposure.fix}" for exposure in exposed(loaded)]
    for warning in warnings:
        err.print(f"[yellow]warning:[/yellow] {_plain(warning)}", highlight=False, soft_wrap=True)
    if as_json:
        content = {"config": str(config), "models": list(loaded.models), "warnings": warnings}
        out.print_json(json.dumps(content))
    else:
        models = ", ".join(loaded.models) or "no models yet"
        out.print(f"[green]ok[/green] {config}: {models}")


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of driftline.yaml, for validation and completion in editors."""
    from driftline.config import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


@app.command()
def up(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Start the services that the config sets to 'local', and wait until they are ready."""
    from driftline.config import load
    from driftline.services.stack import Stack

    loaded = load(config)
    stack = Stack(loaded.state)
    with err.status("starting") as status:
        stack.up(
            loaded.local_services(),
            progress=lambda name, text: status.update(f"{name}: {text}"),
        )
    _print_status(stack)


@app.command()
def down(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Stop the local services; their data is kept."""
    from driftline.config import load
    from driftline.services.stack import Stack

    Stack(load(config).state).down()
    out.print("stopped")


@app.command()
def status(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show state, address and version of the local services.

    Exit code 1 if a service is not ready.
    """
    from driftline.config import load
    from driftline.services.stack import Stack

    loaded = load(config)
    stack = Stack(loaded.state)
    ready = _print_status(stack, as_json=as_json)
    if not ready:
        raise typer.Exit(1)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="Service name: timescaledb, kafka or mlflow.")],
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="Number of lines to print.")
    ] = 50,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Print the last lines of a local service's log."""
    from driftline.config import load
    from driftline.services.stack import Stack

    sys.stdout.write(Stack(load(config).state).logs(service, lines) + "\n")


@app.command()
def doctor(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Diagnose config, services, schema, references and runners, and suggest fixes.

    Exit code 1 if a problem is found.
    """
    from driftline.config import load
    from driftline.doctor import run_checks

    findings = run_checks(load(config))
    if as_json:
        out.print_json(json.dumps([finding.as_json() for finding in findings]))
    else:
        table = Table("check", "status", "finding", "fix")
        colours = {"ok": "green", "note": "yellow", "problem": "red"}
        for finding in findings:
            level = f"[{colours[finding.level]}]{finding.level}[/]"
            table.add_row(finding.check, level, Text(finding.message), Text(finding.fix))
        out.print(table)
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(1)


@app.command()
def migrate(
    config: ConfigPath = DEFAULT_CONFIG,
    widen: Annotated[
        bool, typer.Option("--widen", help="Convert int columns to float where features need it.")
    ] = False,
) -> None:
    """Upgrade the database schema to this version and create the tables of every model."""
    from driftline.config import load
    from driftline.storage.tables.schema import migrate as migrate_schema
    from driftline.streaming.scoring.features import FeatureDefinition

    loaded = load(config)
    features = {name: FeatureDefinition(model).schema for name, model in loaded.models.items()}
    migrate_schema(loaded, features, widen=widen)
    out.print(
        f"[green]ok[/green] schema is up to date; tables for {', '.join(features) or 'no models'}"
    )


@app.command()
def forget(model: ModelName, yes: Yes = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Delete all stored data of a model: predictions, labels, rejects, profiles, ledger."""
    from driftline.config import load
    from driftline.storage import blockers
    from driftline.storage.forget import forget as forget_model

    loaded = load(config)
    loaded.model(model)
    if not yes:
        typer.confirm(f"Delete all stored data of model {model!r}?", abort=True)
    with blockers.connect_with_lock_timeout(loaded.local_postgres(), "migrate") as connection:
        forget_model(connection, model)
    out.print(f"deleted all stored data of {model}")


@app.command()
def run(
    model: ModelName,
    config: ConfigPath = DEFAULT_CONFIG,
    restore: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint or savepoint to restore, or 'none' to start without. Default: newest."
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(help="Submit to the Flink cluster at this host:port instead of running here."),
    ] = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="Close all open windows before stopping.")
    ] = False,
) -> None:
    """Run a model's streaming job and restart it after failures, until Ctrl-C."""
    from driftline.config import load
    from driftline.streaming.flink.check import check_ready
    from driftline.streaming.flink.supervise import Supervisor

    loaded = load(config)
    check_ready(loaded, model)
    if cluster is not None:
        from driftline.streaming.flink.cluster import submit

        out.print(f"submitted as job {submit(config, loaded, model, cluster, restore)}")
        err.print(
            "securing the cluster's ports and logs is up to its operator: see 'Closing the "
            "cluster' in docs/deployment.md",
            soft_wrap=True,
        )
        return
    logging.getLogger("driftline").setLevel(logging.INFO)
    supervisor = Supervisor(config, loaded, model, restore)
    with stops_on_signals(lambda _: supervisor.stop(drain=drain)):
        supervisor.run()


@app.command()
def features(
    model: ModelName,
    events: Annotated[
        Path, typer.Argument(help="File with one event per line, or a folder of such files.")
    ],
    to: Annotated[Path, typer.Option(help="Parquet file to write.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Generate training or reference features from recorded events, as the stream does."""
    from driftline.config import load
    from driftline.streaming.history.history import features_of_history, left_out

    with err.status("generating features"):
        table = features_of_history(config, load(config), model, events, to)
    out.print(f"wrote {len(table):,} rows to {to}", highlight=False)
    for reason in left_out(table):
        out.print(f"left out: {reason}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def demo(
    events: Annotated[
        int | None,
        typer.Option(min=1, help="Replay at most N flights. Default: all from April to December."),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Events per second. Default: no limit.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Random seed of the training and of injected faulty events.")
    ] = 0,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave the services running and show dashboards.")
    ] = False,
    state: Annotated[Path, typer.Option(help="Folder of the demo's services and files.")] = Path(
        ".driftline"
    ),
) -> None:
    """Run the full pipeline on real flight data: train, stream, monitor, audit."""
    from driftline.cli.demo.run import Demo

    demo_run = Demo(state.resolve(), out, events, rate, seed, keep_running)
    report = demo_run.run()
    if not report.ok:
        raise typer.Exit(1)
    path = demo_run.config_path
    if keep_running:
        preview(config=path)
    else:
        commands = f"driftline up -c {path}; driftline preview --open -c {path}"
        out.print(f"to see the dashboards: {commands}", soft_wrap=True, highlight=False)


def _print_status(stack: "Stack", *, as_json: bool = False) -> bool:
    from dataclasses import asdict

    rows = stack.status()
    if as_json:
        out.print_json(json.dumps([asdict(row) for row in rows], default=str))
    else:
        table = Table("service", "state", "address", "version", "pid", "detail")
        for row in rows:
            colour = "green" if row.ready else "red"
            cells = (row.address, row.version, row.pid, row.detail)
            table.add_row(
                row.name,
                f"[{colour}]{row.state}[/{colour}]",
                *("" if cell is None else str(cell) for cell in cells),
            )
        out.print(table)
    return all(row.ready for row in rows)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


if __name__ == "__main__":
    main()
