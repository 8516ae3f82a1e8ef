"""The `driftline` command: each a few lines that call below; heavy imports stay there."""

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
from driftline.cli import monitoring
from driftline.cli import store as storage
from driftline.cli.calibrate import calibrate
from driftline.cli.console import console
from driftline.cli.dashboards import dashboards
from driftline.cli.grafana_follows import followed, told
from driftline.cli.models import models
from driftline.cli.preview import preview
from driftline.cli.reference import reference
from driftline.cli.report import report
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
config_app = typer.Typer(help="Check and describe driftline.yaml.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(models, name="models")
app.add_typer(dashboards, name="dashboards")
app.add_typer(storage.rejected, name="rejected")
app.add_typer(monitoring.alerts, name="alerts")
app.add_typer(reference, name="reference")
for command in (
    storage.audit,
    storage.explain,
    storage.republish,
    storage.compact,
    report,
    calibrate,
    preview,
):
    app.command()(command)
app.command()(followed(monitoring.monitor))
monitoring.alerts.command("ack")(told(monitoring.alerts_ack))
monitoring.alerts.command("accept")(told(monitoring.alerts_accept))
monitoring.alerts.command("silence")(told(monitoring.alerts_silence))
monitoring.alerts.command("unsilence")(told(monitoring.alerts_unsilence))
app.command()(monitoring.backfill)

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", help="The config file.", envvar="DRIFTLINE_CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
DEFAULT_CONFIG = Path("driftline.yaml")

out = console()
err = Console(stderr=True)


def main() -> None:
    """Run the command; a `DriftlineError` is printed without a traceback, exit code 1.

    SIGTERM cleans up as Ctrl-C does, where a command has no better answer.
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
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
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
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_CONFIG,
) -> None:
    """Write a commented driftline.yaml to start from."""
    from driftline.config.template import TEMPLATE

    try:
        with path.open("x") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise DriftlineError(f"{str(path)!r} exists already: name another path") from None
    out.print(f"wrote {path}; 'driftline config check' says whether it can be used")


@config_app.command("check")
def config_check(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Check the file and every model's feature definition; warn of what is sent in plain text."""
    from driftline.config import load
    from driftline.config.transport import exposed
    from driftline.streaming.flink.check import check_model

    loaded = load(config)
    for name in loaded.models:
        check_model(loaded, name)
    warnings = [f"{one.what}: {one.fix}" for one in exposed(loaded)]
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
    """Print the JSON Schema of driftline.yaml, for editors."""
    from driftline.config import json_schema

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")


@app.command()
def up(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Start the local services that the config asks for, and wait until they answer."""
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
    """Stop the local services; their data stays."""
    from driftline.config import load
    from driftline.services.stack import Stack

    Stack(load(config).state).down()
    out.print("stopped")


@app.command()
def status(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the local services: state, address, version. Exit code 1 when one is not ready."""
    from driftline.config import load
    from driftline.services.stack import Stack

    loaded = load(config)
    stack = Stack(loaded.state)
    ready = _print_status(stack, as_json=as_json)
    if not ready:
        raise typer.Exit(1)


@app.command()
def logs(
    service: Annotated[str, typer.Argument(help="timescaledb, kafka or mlflow.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=1)] = 50,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Print the end of a local service's log."""
    from driftline.config import load
    from driftline.services.stack import Stack

    sys.stdout.write(Stack(load(config).state).logs(service, lines) + "\n")


@app.command()
def doctor(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Say what is wrong and how to mend it: services, schema, references, runner. Exit code 1."""
    from dataclasses import asdict

    from driftline.config import load
    from driftline.doctor import examine

    found = examine(load(config))
    if as_json:
        out.print_json(json.dumps([asdict(one) for one in found]))
    else:
        table = Table("check", "", "found", "to mend it")
        colours = {"ok": "green", "note": "yellow", "problem": "red"}
        for one in found:
            level = f"[{colours[one.level]}]{one.level}[/]"
            table.add_row(one.check, level, Text(one.what), Text(one.mend))
        out.print(table)
    if any(one.level == "problem" for one in found):
        raise typer.Exit(1)


@app.command()
def migrate(
    config: ConfigPath = DEFAULT_CONFIG,
    widen: Annotated[
        bool, typer.Option("--widen", help="Turn int columns into float where features ask for it.")
    ] = False,
) -> None:
    """Bring the database's schema to this version, with a typed table for every model."""
    from driftline.config import load
    from driftline.storage.tables.schema import migrate as migrate_schema
    from driftline.streaming.scoring.features import FeatureDefinition

    loaded = load(config)
    features = {name: FeatureDefinition(model).schema for name, model in loaded.models.items()}
    migrate_schema(loaded, features, widen=widen)
    out.print(
        f"[green]ok[/green] schema is current; tables for {', '.join(features) or 'no models'}"
    )


@app.command()
def forget(
    model: Annotated[str, typer.Argument(help="A model of the config.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Erase all that is stored of a model: predictions, labels, rejects, profiles, ledger."""
    from driftline.config import load
    from driftline.storage import blockers
    from driftline.storage.log.forget import forget as forget_model

    loaded = load(config)
    loaded.model(model)
    if not yes:
        typer.confirm(f"Erase all that is stored of {model!r}?", abort=True)
    with blockers.patient(loaded.local_postgres(), "migrate") as connection:
        forget_model(connection, model)
    out.print(f"forgot {model}")


@app.command()
def run(
    model: Annotated[str, typer.Argument(help="A model of the config.")],
    config: ConfigPath = DEFAULT_CONFIG,
    restore: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint or savepoint to start from; 'none' for none. Default: newest."
        ),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="host:port of a Flink cluster, instead of this machine.")
    ] = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="When stopped, let all open windows close first.")
    ] = False,
) -> None:
    """Run a model's job and keep it running, until Ctrl-C."""
    from driftline.config import load
    from driftline.streaming.flink.check import check_ready
    from driftline.streaming.flink.supervise import Supervisor

    loaded = load(config)
    check_ready(loaded, model)
    if cluster is not None:
        from driftline.streaming.flink.cluster import submit

        out.print(f"submitted as job {submit(config, loaded, model, cluster, restore)}")
        err.print(
            "closing the cluster's ports and logs is its operator's task: see 'Closing the "
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
    model: Annotated[str, typer.Argument(help="A model of the config.")],
    events: Annotated[Path, typer.Argument(help="A file with one event a line, or a folder.")],
    to: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Make training or reference data of recorded events, as the stream would make them."""
    from driftline.config import load
    from driftline.streaming.history.history import features_of_history, left_out

    with err.status("a bounded run of the feature definition"):
        table = features_of_history(config, load(config), model, events, to)
    out.print(f"wrote {len(table):,} rows to {to}", highlight=False)
    for one in left_out(table):
        out.print(f"left out: {one}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def demo(
    events: Annotated[
        int | None, typer.Option(min=1, help="How many flights; default: all from April on.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.1, help="Events a second; default: as fast as it goes.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the training, and of what comes broken.")] = 0,
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Leave the services running at the end.")
    ] = False,
    state: Annotated[Path, typer.Option(help="Where its services and files live.")] = Path(
        ".driftline"
    ),
) -> None:
    """Run the main job on real flights, from an empty machine to the proof."""
    from driftline.cli.demo.run import Demo

    shown = Demo(state.resolve(), out, events, rate, seed, keep_running)
    report = shown.run()
    if not report.ok:
        raise typer.Exit(1)
    if keep_running:
        preview(config=shown.config_path)
    else:
        path = shown.config_path
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
