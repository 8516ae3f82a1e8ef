"""`driftline models show | compare | retire | reinstate`; heavy imports stay in the functions."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from driftline.cli.console import print_json, print_line, print_table
from driftline.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    ModelName,
    VersionNumber,
)


def show_version(
    name: ModelName,
    version: Annotated[
        int | None,
        typer.Argument(metavar="[VERSION]", min=1, help="Version number. Default: list all."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show a model's versions and their roles, or the details of one version."""
    from driftline.config import load
    from driftline.registry.overview import details, overview

    loaded = load(config)
    if version is not None:
        facts = details(loaded, name, version)
        if as_json:
            print_json(facts)
        else:
            print_table(("", f"{name} version {version}"), _flat(facts))
        return
    facts = overview(loaded, name)
    if as_json:
        print_json(facts)
        return
    rows = [
        (row["version"], ", ".join(row["aliases"]), row["state"], row["digest"][:12])
        for row in facts["versions"]
    ]
    print_table(("version", "aliases", "state", "digest"), rows, f"{name}: {facts['registered']}")
    running = facts["canary"]
    if running is not None:
        print_line(f"canary: version {running['version']} gets {running['percent']:g} %")


def compare(
    name: ModelName,
    first: Annotated[int, typer.Argument(metavar="A", min=1, help="First version to compare.")],
    second: Annotated[int, typer.Argument(metavar="B", min=1, help="Second version to compare.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Compare two versions by their training metrics and by live events that both scored."""
    from driftline.config import load
    from driftline.registry.overview import comparison

    facts = comparison(load(config), name, first, second)
    if as_json:
        print_json(facts)
        return
    runs = facts["versions"]
    rows = [
        (metric, *(_number(run.get(metric)) for run in runs))
        for metric in dict.fromkeys([*runs[0], *runs[1]])
        if metric != "version"
    ]
    print_table(("", f"version {first}", f"version {second}"), rows, name)
    live = facts["live"]
    if live["events"]:
        print_line(
            f"{live['events']:,} live events: scores differ by {live['mean_difference']:.4g} on "
            f"average, by {live['p99_difference']:.4g} at the 99th percentile"
        )
    else:
        print_line("no live events were scored by both: run one as a shadow of the other")


def retire(
    name: ModelName,
    version: VersionNumber,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Exclude a version from promotion for good; refused while an alias points to it."""
    from driftline.config import load
    from driftline.registry.overview import retire as mark

    text = mark(load(config), name, version)
    if as_json:
        print_json({"model": name, "version": version, "retired": text})
    else:
        print_line(f"{name} version {version} is retired; its files and history are kept")


def reinstate(
    name: ModelName,
    version: VersionNumber,
    reason: Annotated[str, typer.Option(help="Reason for reinstating it, for the record.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Release a version from quarantine."""
    from driftline.config import load
    from driftline.errors import RegistryError
    from driftline.storage.connection import connect
    from driftline.storage.versions import promotions
    from driftline.user import current_user

    loaded = load(config)
    loaded.model(name)
    with connect(loaded.local_postgres(), "write", autocommit=True) as connection:
        lifted = promotions.reinstate(connection, name, version, by=current_user(), reason=reason)
    if not lifted:
        raise RegistryError(f"version {version} of model {name!r} is not quarantined")
    if as_json:
        print_json({"model": name, "version": version, "reinstated": reason})
    else:
        print_line(f"{name} version {version} is reinstated")


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            rows.append((prefix + key, "\n".join(map(str, value))))
        else:
            rows.append((prefix + key, _number(value)))
    return rows


def _number(value: object) -> object:
    return f"{value:.5g}" if isinstance(value, float) else value
