"""`driftline dashboards`: Grafana from the config; heavy imports stay in the functions."""

import json
from pathlib import Path
from typing import Annotated

import typer

from driftline import names

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", help="The config file.", envvar="DRIFTLINE_CONFIG")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Force = Annotated[
    bool, typer.Option("--force", help="Settle conflicts by what is generated, not by edits.")
]
DEFAULT_CONFIG = Path("driftline.yaml")
_DIFFERS = 2

dashboards = typer.Typer(
    help="Dashboards, alert rules and contact points in Grafana.", no_args_is_help=True
)


@dashboards.command("plan")
def show_plan(
    force: Force = False, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Show what apply would do; exit code 2 when Grafana is not as generated."""
    from driftline.config import load
    from driftline.dashboards.sync.plan import plan
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.show import as_json as to_json
    from driftline.dashboards.sync.show import lines_of

    with session(load(config)) as grafana:
        made = plan(grafana.server, grafana.state, grafana.wanted(), force=force)
    _print([json.dumps(to_json(made), indent=2)] if as_json else lines_of(made))
    if made.differs:
        raise typer.Exit(_DIFFERS)


@dashboards.command()
def diff(force: Force = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show in full what apply would change; exit code 2 when it would change anything."""
    from driftline.config import load
    from driftline.dashboards.sync.plan import plan
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.show import diff_of

    with session(load(config)) as grafana:
        made = plan(grafana.server, grafana.state, grafana.wanted(), force=force)
    _print(lines := diff_of(made))
    if lines:
        raise typer.Exit(_DIFFERS)


@dashboards.command()
def apply(force: Force = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Bring Grafana to what is generated; what people edited there stays."""
    from driftline.config import load
    from driftline.dashboards.sync.apply import apply as carry_out
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.show import outcome_lines
    from driftline.dashboards.sync.silences import sync

    with session(load(config)) as grafana:
        outcome = carry_out(grafana.server, grafana.state, grafana.wanted(), force=force)
        _print(outcome_lines(outcome))  # what was done is known, whatever becomes of silences
        sync(grafana.server, grafana.connection, grafana.state)
    if not outcome.ok:
        raise typer.Exit(1)


@dashboards.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where to write the files.")],
    grafana: Annotated[
        str, typer.Option("--grafana", help="Version of the Grafana that reads them.")
    ] = "11.0",
    provisioning: Annotated[
        str, typer.Option("--provisioning", help="Where that Grafana has what is in the folder.")
    ] = names.GRAFANA_PROVISIONING,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write provisioning files (JSON and YAML), for a Grafana that is configured from Git."""
    from driftline.config import load
    from driftline.dashboards.definitions.generate import pages
    from driftline.dashboards.sync.desired import version_of, wanted
    from driftline.dashboards.sync.export import export as write
    from driftline.dashboards.sync.show import failure
    from driftline.wording import counted

    loaded, version = load(config), version_of(grafana)
    made = wanted(loaded, pages(loaded), version, secrets=False)
    written, removed = write(loaded, made, folder, provisioning)
    failed = [failure(one.kind, one.uid, one.failed) for one in made if one.failed is not None]
    _print([*failed, *(f"removed {path}" for path in removed)])
    _print([f"wrote {counted(len(written), 'file')} to {folder}"])
    if failed:
        raise typer.Exit(1)


@dashboards.command()
def destroy(
    force: Annotated[bool, typer.Option("--force", help="Also what people edited.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Remove from Grafana what driftline made there, and nothing else."""
    from driftline.config import load
    from driftline.dashboards.sync.apply import apply as carry_out
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.show import outcome_lines
    from driftline.dashboards.sync.silences import end_all

    loaded = load(config)
    if not yes:
        typer.confirm(f"Remove what driftline made in {loaded.grafana.url}?", abort=True)
    with session(loaded) as grafana:
        end_all(grafana.server, grafana.state)
        outcome = carry_out(grafana.server, grafana.state, [], force=force)
    _print(outcome_lines(outcome))
    if not outcome.ok:
        raise typer.Exit(1)


@dashboards.command()
def silences(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Bring Grafana's silences in step with silences and acknowledgements of driftline."""
    from driftline.config import load
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.silences import sync
    from driftline.wording import counted

    with session(load(config)) as grafana:
        synced = sync(grafana.server, grafana.connection, grafana.state)
    _print([f"{counted(synced.made, 'silence')} made, {synced.ended} ended"])


def _print(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)
