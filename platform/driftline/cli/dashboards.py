"""`driftline dashboards …`; heavy imports stay in the functions."""

import json
from pathlib import Path
from typing import Annotated

import typer

from driftline import names
from driftline.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Yes

Force = Annotated[
    bool, typer.Option("--force", help="Overwrite edits that conflict with the generated version.")
]
_DIFFERS = 2  # exit code

dashboards = typer.Typer(
    help="Manage dashboards, alert rules and contact points in Grafana.", no_args_is_help=True
)


@dashboards.command("plan")
def show_plan(
    force: Force = False, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Show what 'apply' would change; exit code 2 if anything."""
    from driftline.config import load
    from driftline.dashboards.sync.plan import plan
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.show import as_json as to_json
    from driftline.dashboards.sync.show import lines_of

    with session(load(config)) as grafana:
        steps = plan(grafana.server, grafana.state, grafana.desired_objects(), force=force)
    _print([json.dumps(to_json(steps), indent=2)] if as_json else lines_of(steps))
    if steps.differs:
        raise typer.Exit(_DIFFERS)


@dashboards.command()
def diff(force: Force = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show every value that 'apply' would change; exit code 2 if any."""
    from driftline.config import load
    from driftline.dashboards.sync.plan import plan
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.show import diff_of

    with session(load(config)) as grafana:
        steps = plan(grafana.server, grafana.state, grafana.desired_objects(), force=force)
    _print(lines := diff_of(steps))
    if lines:
        raise typer.Exit(_DIFFERS)


@dashboards.command()
def apply(force: Force = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Create and update the generated objects in Grafana; edits made in Grafana are kept."""
    from driftline.config import load
    from driftline.dashboards.sync.apply import apply as carry_out
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.show import outcome_lines
    from driftline.dashboards.sync.silences import sync

    with session(load(config)) as grafana:
        outcome = carry_out(grafana.server, grafana.state, grafana.desired_objects(), force=force)
        _print(outcome_lines(outcome))  # even if syncing silences fails
        sync(grafana.server, grafana.connection, grafana.state)
    if not outcome.ok:
        raise typer.Exit(1)


@dashboards.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Folder to write.")],
    grafana: Annotated[
        str, typer.Option("--grafana", help="Version of the Grafana that reads the files.")
    ] = "11.0",
    provisioning: Annotated[
        str, typer.Option("--provisioning", help="Path of the folder on Grafana's machine.")
    ] = names.GRAFANA_PROVISIONING,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write provisioning files (JSON and YAML) for a Grafana that is configured from Git."""
    from driftline.config import load
    from driftline.dashboards.definitions.generate import generate_each
    from driftline.dashboards.sync.desired import desired_objects, version_of
    from driftline.dashboards.sync.export import export as write
    from driftline.dashboards.sync.show import failure
    from driftline.wording import counted

    loaded, version = load(config), version_of(grafana)
    objects = desired_objects(loaded, generate_each(loaded), version, secrets=False)
    written, removed = write(loaded, objects, folder, provisioning)
    failed = [failure(item.kind, item.uid, item.failed) for item in objects if item.failed]
    _print([*failed, *(f"removed {path}" for path in removed)])
    _print([f"wrote {counted(len(written), 'file')} to {folder}"])
    if failed:
        raise typer.Exit(1)


@dashboards.command()
def destroy(
    force: Annotated[bool, typer.Option("--force", help="Also delete edited objects.")] = False,
    yes: Yes = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Delete the objects that driftline created in Grafana, and nothing else."""
    from driftline.config import load
    from driftline.dashboards.sync.apply import apply as carry_out
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.show import outcome_lines
    from driftline.dashboards.sync.silences import end_all

    loaded = load(config)
    if not yes:
        typer.confirm(f"Delete driftline's objects in {loaded.grafana.url}?", abort=True)
    with session(loaded) as grafana:
        end_all(grafana.server, grafana.state)
        outcome = carry_out(grafana.server, grafana.state, [], force=force)
    _print(outcome_lines(outcome))
    if not outcome.ok:
        raise typer.Exit(1)


@dashboards.command()
def silences(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Sync driftline's silences and acknowledgements to Grafana."""
    from driftline.config import load
    from driftline.dashboards.sync.session import session
    from driftline.dashboards.sync.silences import sync
    from driftline.wording import counted

    with session(load(config)) as grafana:
        synced = sync(grafana.server, grafana.connection, grafana.state)
    _print([f"{counted(synced.created, 'silence')} created, {synced.ended} ended"])


def _print(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)
