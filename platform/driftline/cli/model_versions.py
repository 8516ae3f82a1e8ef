"""`driftline models show | compare | retire | release`; heavy imports stay in the functions."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from driftline.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    ModelName,
    VersionNumber,
    echo,
    say,
    show,
)


def show_version(
    name: ModelName,
    version: Annotated[int | None, typer.Argument(metavar="VERSION", min=1)] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show a model's versions and their roles, or all that is known of one."""
    from driftline.config import load
    from driftline.registry.overview import details, overview

    loaded = load(config)
    if version is not None:
        facts = details(loaded, name, version)
        if as_json:
            echo(facts)
        else:
            show(("", f"{name} version {version}"), _flat(facts))
        return
    found = overview(loaded, name)
    if as_json:
        echo(found)
        return
    rows = [
        (one["version"], ", ".join(one["aliases"]), one["state"], one["digest"][:12])
        for one in found["versions"]
    ]
    show(("version", "aliases", "state", "digest"), rows, f"{name}: {found['registered']}")
    running = found["canary"]
    if running is not None:
        say(f"canary: version {running['version']} gets {running['percent']:g} %")


def compare(
    name: ModelName,
    first: Annotated[int, typer.Argument(metavar="A", min=1, help="A version.")],
    second: Annotated[int, typer.Argument(metavar="B", min=1, help="Another one.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show two versions side by side: their runs' metrics, and live events that both scored."""
    from driftline.config import load
    from driftline.registry.overview import comparison

    found = comparison(load(config), name, first, second)
    if as_json:
        echo(found)
        return
    rows = [
        (what, _number(found["versions"][0].get(what)), _number(found["versions"][1].get(what)))
        for what in dict.fromkeys([*found["versions"][0], *found["versions"][1]])
        if what != "version"
    ]
    show(("", f"version {first}", f"version {second}"), rows, name)
    live = found["live"]
    if live["events"]:
        say(
            f"{live['events']:,} live events: scores differ by {live['mean_difference']:.4g} on "
            f"average, by {live['p99_difference']:.4g} at the 99th percentile"
        )
    else:
        say("no live events that both have scored: let one shadow the other")


def retire(
    name: ModelName,
    version: VersionNumber,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Mark a version as never to be promoted again; refused while an alias points to it."""
    from driftline.config import load
    from driftline.registry.overview import retire as mark

    text = mark(load(config), name, version)
    if as_json:
        echo({"model": name, "version": version, "retired": text})
    else:
        say(f"{name} version {version} is retired; its files and its record stay")


def release(
    name: ModelName,
    version: VersionNumber,
    reason: Annotated[str, typer.Option(help="Why it may serve again, for the record.")],
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Lift a version's quarantine."""
    from driftline.config import load
    from driftline.errors import RegistryError
    from driftline.storage.connection import connect
    from driftline.storage.versions import promotions
    from driftline.user import current_user

    loaded = load(config)
    loaded.model(name)
    with connect(loaded.local_postgres(), "write", autocommit=True) as connection:
        lifted = promotions.release(connection, name, version, by=current_user(), reason=reason)
    if not lifted:
        raise RegistryError(f"version {version} of model {name!r} is in no quarantine")
    if as_json:
        echo({"model": name, "version": version, "released": reason})
    else:
        say(f"{name} version {version} may serve again")


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
