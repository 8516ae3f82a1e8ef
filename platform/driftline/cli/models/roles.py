"""`driftline models shadow | challenge | canary`; heavy imports stay in the functions."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from driftline import names
from driftline.cli.console import print_json, print_line
from driftline.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    ModelName,
    VersionNumber,
)
from driftline.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from driftline.config import Config

Stop = Annotated[bool, typer.Option("--stop", help="Remove the version from this role.")]


def shadow(
    name: ModelName,
    version: VersionNumber,
    stop: Stop = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Run a version as a shadow: it scores every event; its predictions are never published."""
    from driftline.registry import aliases

    loaded, client, registered = _open(config, name)
    taken = aliases.read_aliases(client, registered)
    held = [alias for alias, v in taken.items() if v == version and aliases.is_shadow(alias)]
    if stop:
        if not held:
            raise RegistryError(f"version {version} of model {name!r} is not a shadow")
        for alias in held:
            aliases.delete_alias(client, registered, alias)
        _report(name, version, None, f"is no longer {', '.join(held)}", as_json)
        return
    if not held:
        _require_may_score(loaded, client, name, version, taken)
        held = [aliases.next_shadow_alias(taken)]
        aliases.set_alias(client, registered, held[0], version)
    _report(name, version, held[0], f"is {held[0]}", as_json)


def challenge(
    name: ModelName,
    version: VersionNumber,
    stop: Stop = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a version the challenger: a shadow that can serve a canary's share of events."""
    from driftline.registry import aliases

    loaded, client, registered = _open(config, name)
    taken = aliases.read_aliases(client, registered)
    holder = taken.get(names.CHALLENGER)
    if stop:
        if holder != version:
            raise RegistryError(
                f"version {version} of model {name!r} is not the challenger"
                + (f", version {holder} is" if holder else "")
            )
        aliases.stop_canary(client, registered)
        aliases.delete_alias(client, registered, names.CHALLENGER)
        _report(name, version, None, "is no longer challenger", as_json)
        return
    running = aliases.read_canary(client, registered)
    if running is not None and running.version != version:
        raise RegistryError(
            f"a canary sends {running.percent:g} % of events to version {running.version}: run "
            f"'driftline models canary {name} stop' first"
        )
    if holder != version:
        _require_may_score(loaded, client, name, version, taken)
        aliases.set_alias(client, registered, names.CHALLENGER, version)
    _report(name, version, names.CHALLENGER, "is challenger", as_json)


def canary(
    name: ModelName,
    share: Annotated[
        str | None,
        typer.Argument(metavar="[PERCENT%|stop]", help="Omit to show the current value."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Let the challenger serve a share of the events, or stop the canary."""
    from driftline.registry import aliases

    percent = None if share in (None, "stop") else _percent(str(share))
    loaded, client, registered = _open(config, name)
    if percent is not None:
        holder = aliases.read_aliases(client, registered).get(names.CHALLENGER)
        if holder is not None:
            _require_not_quarantined(loaded, name, holder)
        running = aliases.start_canary(client, registered, percent)
        text = f"{name} version {running.version} gets {running.percent:g} % of the events"
    else:
        stopped = aliases.stop_canary(client, registered) if share == "stop" else None
        current = None if share == "stop" else aliases.read_canary(client, registered)
        if as_json:
            print_json({"model": name, "canary": None if current is None else asdict(current)})
            return
        if current is not None:
            print_line(
                f"{name} version {current.version} gets {current.percent:g} % since {current.since}"
            )
        elif stopped is not None:
            print_line(f"{name} version {stopped.version} no longer gets events")
        else:
            print_line(f"{name} has no canary")
        return
    if as_json:
        print_json({"model": name, "canary": asdict(running)})
    else:
        print_line(text)


def _percent(text: str) -> float:
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        raise RegistryError(
            f"{text!r} is not a percentage: give one such as 5%, or 'stop'"
        ) from None


def _open(config: ConfigPath, name: str) -> "tuple[Config, MlflowClient, str]":
    """The config, the registry, and the name of the registered model."""
    from driftline.config import load
    from driftline.registry.client import connect

    loaded = load(config)
    registered = loaded.model(name).registry.name
    return loaded, connect(loaded.local_mlflow()), registered


def _require_may_score(
    loaded: "Config", client: "MlflowClient", name: str, version: int, taken: dict[str, int]
) -> None:
    from driftline.registry import aliases

    registry = loaded.model(name).registry
    aliases.require_usable(client, registry.name, version)
    if taken.get(registry.alias) == version:
        raise RegistryError(f"version {version} of model {name!r} is {registry.alias} itself")
    _require_not_quarantined(loaded, name, version)


def _require_not_quarantined(loaded: "Config", name: str, version: int) -> None:
    from driftline.storage.connection import connect
    from driftline.storage.versions import promotions

    with connect(loaded.local_postgres(), "read") as connection:
        promotions.require_not_quarantined(connection, name, version)


def _report(name: str, version: int, alias: str | None, text: str, as_json: bool) -> None:
    if as_json:
        print_json({"model": name, "version": version, "alias": alias})
    else:
        print_line(f"{name} version {version} {text}")
