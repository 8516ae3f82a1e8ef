"""`driftline models register | list`; heavy imports stay in the functions."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from driftline.cli.console import console
from driftline.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath
from driftline.errors import RegistryError

if TYPE_CHECKING:
    from driftline.registry.versions import Version


def register(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="SavedModel folder, .keras file, or MLflow URI (runs:/ID/path or models:/...).",
        ),
    ],
    name: Annotated[
        str, typer.Option(help="Registered model in MLflow; created if it does not exist.")
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Parquet file with the reference features. Default: the model's input example."
        ),
    ] = None,
    alias: Annotated[
        str | None, typer.Option(help="Alias to assign, such as champion, the version that serves.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Column of the reference file that is not a feature; repeatable."),
    ] = None,
    rebin: Annotated[
        bool, typer.Option(help="Compute new bins even if the champion's bins fit.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Register a model version with its signature, binning and reference profile."""
    from pydantic import ValidationError

    from driftline.config import Registry, load
    from driftline.registry.files.reference_file import read
    from driftline.registry.register import register as register_version

    loaded = load(config)
    settings = loaded.local_mlflow()
    sections = [model for model in loaded.models.values() if model.registry.name == name]
    time_format = sections[0].input.time_format if sections else None
    file = None if reference is None else read(reference, exclude or [], time_format)
    try:
        registry = sections[0].registry if sections else Registry(name=name)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise RegistryError(f"can't register a model as {name!r}: {problem}") from None
    version = register_version(
        settings,
        name,
        source,
        None if file is None else file.features,
        alias=alias,
        rebin=rebin,
        times=None if file is None else file.times,
        registered=registry,
    )
    example = (
        "the model's input example: too few rows for monitoring, register the model again with "
        "--reference"
    )
    typer.echo(f"the reference is {example if file is None else file}", err=True)
    _print([version], as_json)


def list_versions(
    name: Annotated[str | None, typer.Option(help="Only this registered model.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """List the versions of registered models and their aliases."""
    from driftline.config import load
    from driftline.registry.client import connect
    from driftline.registry.versions import versions

    client = connect(load(config).local_mlflow())
    _print(versions(client, name), as_json)


def _print(versions: "list[Version]", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(version) for version in versions], indent=2))
        return
    table = Table(Column("model", overflow="fold"), "version", "aliases", "binning", "digest")
    for version in versions:
        aliases = ", ".join(version.aliases)
        short = version.digest[:12] or "not registered by driftline"
        table.add_row(version.name, str(version.version), aliases, version.binning, short)
    console().print(table)
