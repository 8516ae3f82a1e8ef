"""`driftline models …`; heavy imports stay in the functions, so that `--help` is instant."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from driftline.cli import model_promotion, model_roles, model_versions
from driftline.cli.console import console
from driftline.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath
from driftline.errors import RegistryError

if TYPE_CHECKING:
    from driftline.registry.versions import Version

models = typer.Typer(help="Model versions in the registry.", no_args_is_help=True)

for command in (
    model_promotion.promote,
    model_promotion.rollback,
    model_promotion.history,
    model_versions.compare,
    model_versions.retire,
    model_versions.release,
    model_roles.shadow,
    model_roles.challenge,
    model_roles.canary,
):
    models.command()(command)
models.command("show")(model_versions.show_version)


@models.command()
def register(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A SavedModel's folder, a .keras file, or runs:/ID/path or models:/... in MLflow.",
        ),
    ],
    name: Annotated[str, typer.Option(help="The registered model; made if it is new.")],
    reference: Annotated[
        Path | None,
        typer.Option(help="Parquet file: the features to compare with; default the input example."),
    ] = None,
    alias: Annotated[
        str | None, typer.Option(help="Set it to the version; champion is served.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="A column of the file that is no feature; repeatable.")
    ] = None,
    rebin: Annotated[
        bool, typer.Option(help="Freeze new bins even when the champion's would fit.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Register a model with its signature, binning and reference profile."""
    from pydantic import ValidationError

    from driftline.config import Registry, load
    from driftline.registry.files.reference_file import read
    from driftline.registry.register import register as register_version

    loaded = load(config)
    settings = loaded.local_mlflow()
    of_it = [model for model in loaded.models.values() if model.registry.name == name]
    time_format = of_it[0].input.time_format if of_it else None
    given = None if reference is None else read(reference, exclude or [], time_format)
    try:
        registry = of_it[0].registry if of_it else Registry(name=name)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise RegistryError(f"can't register a model as {name!r}: {problem}") from None
    version = register_version(
        settings,
        name,
        source,
        None if given is None else given.features,
        alias=alias,
        rebin=rebin,
        times=None if given is None else given.times,
        registered=registry,
    )
    example = (
        "the model's input example: too few rows to monitor it against, register it again with "
        "--reference"
    )
    typer.echo(f"the reference is {example if given is None else given}", err=True)
    _print([version], as_json)


@models.command("list")
def list_versions(
    name: Annotated[str | None, typer.Option(help="Only this registered model.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the versions of the registered models and their aliases."""
    from driftline.config import load
    from driftline.registry.client import connect
    from driftline.registry.versions import versions

    client = connect(load(config).local_mlflow())
    _print(versions(client, name), as_json)


def _print(found: "list[Version]", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(version) for version in found], indent=2))
        return
    table = Table(Column("model", overflow="fold"), "version", "aliases", "binning", "digest")
    for version in found:
        aliases = ", ".join(version.aliases)
        short = version.digest[:12] or "not registered by driftline"
        table.add_row(version.name, str(version.version), aliases, version.binning, short)
    console().print(table)
