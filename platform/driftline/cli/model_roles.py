"""`driftline models shadow | challenge | canary`; heavy imports stay in the functions."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from driftline import names
from driftline.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    ModelName,
    VersionNumber,
    echo,
    say,
)
from driftline.errors import RegistryError

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from driftline.config import Config

Stop = Annotated[bool, typer.Option("--stop", help="End it.")]


def shadow(
    name: ModelName,
    version: VersionNumber,
    stop: Stop = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Let a version score every event beside the champion, logged and never published."""
    from driftline.registry import aliases

    loaded, client, registered = _open(config, name)
    taken = aliases.aliases(client, registered)
    held = [one for one, v in taken.items() if v == version and aliases.is_shadow(one)]
    if stop:
        if not held:
            raise RegistryError(f"version {version} of model {name!r} is no shadow")
        for alias in held:
            aliases.unpoint(client, registered, alias)
        _done(name, version, None, f"{', '.join(held)} no more", as_json)
        return
    if not held:
        _require_may_score(loaded, client, name, version, taken)
        held = [aliases.free_shadow(taken)]
        aliases.point(client, registered, held[0], version)
    _done(name, version, held[0], f"is {held[0]}", as_json)


def challenge(
    name: ModelName,
    version: VersionNumber,
    stop: Stop = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a version the challenger: a shadow that a canary can give events to."""
    from driftline.registry import aliases

    loaded, client, registered = _open(config, name)
    taken = aliases.aliases(client, registered)
    holder = taken.get(names.CHALLENGER)
    if stop:
        if holder != version:
            raise RegistryError(
                f"version {version} of model {name!r} is no challenger"
                + (f", version {holder} is" if holder else "")
            )
        aliases.stop_canary(client, registered)
        aliases.unpoint(client, registered, names.CHALLENGER)
        _done(name, version, None, "is challenger no more", as_json)
        return
    running = aliases.canary(client, registered)
    if running is not None and running.version != version:
        raise RegistryError(
            f"a canary gives {running.percent:g} % to version {running.version}: "
            f"'driftline models canary {name} stop' first"
        )
    if holder != version:
        _require_may_score(loaded, client, name, version, taken)
        aliases.point(client, registered, names.CHALLENGER, version)
    _done(name, version, names.CHALLENGER, "is challenger", as_json)


def canary(
    name: ModelName,
    share: Annotated[
        str | None, typer.Argument(metavar="PERCENT%|stop", help="Without: show it.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Give a share of the events to the challenger, or stop that."""
    from driftline.registry import aliases

    percent = None if share in (None, "stop") else _percent(str(share))
    loaded, client, registered = _open(config, name)
    if percent is not None:
        holder = aliases.aliases(client, registered).get(names.CHALLENGER)
        if holder is not None:
            _require_not_quarantined(loaded, name, holder)
        running = aliases.start_canary(client, registered, percent)
        told = f"{name} version {running.version} gets {running.percent:g} % of the events"
    else:
        stopped = aliases.stop_canary(client, registered) if share == "stop" else None
        found = None if share == "stop" else aliases.canary(client, registered)
        if as_json:
            echo({"model": name, "canary": None if found is None else asdict(found)})
            return
        if found is not None:
            say(f"{name} version {found.version} gets {found.percent:g} % since {found.since}")
        elif stopped is not None:
            say(f"{name} version {stopped.version} gets no events any more")
        else:
            say(f"{name} has no canary")
        return
    if as_json:
        echo({"model": name, "canary": asdict(running)})
    else:
        say(told)


def _percent(text: str) -> float:
    try:
        return float(text.strip().removesuffix("%"))
    except ValueError:
        raise RegistryError(
            f"{text!r} is no share of the events: give a percentage such as 5%, or stop"
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


def _done(name: str, version: int, alias: str | None, told: str, as_json: bool) -> None:
    if as_json:
        echo({"model": name, "version": version, "alias": alias})
    else:
        say(f"{name} version {version} {told}")
