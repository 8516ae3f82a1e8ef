"""Aliases and tags of a registered model: who is champion, challenger, shadow, and of how much."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline import names
from driftline.config import Registry
from driftline.errors import RegistryError
from driftline.registry.client import NOT_THERE, answering

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Of a registered model: the JSON of `Canary`.
CANARY_TAG = "driftline.canary"
#: Of a version: what was decided of it last, or `ungated`.
DECISION_TAG = "driftline.decision"
#: Of a version: when it was retired, and by whom.
RETIRED_TAG = "driftline.retired"


@dataclass(frozen=True)
class Canary:
    """The share of events that the challenger serves.

    Attributes:
        percent: of events, 0 to 100.
        version: of the challenger that it was started for; no other one gets these events.
        since: ISO time of the start or the last change.
    """

    percent: float
    version: int
    since: str


@dataclass(frozen=True)
class Roles:
    """Which versions score a model's events, as the registry says now.

    Attributes:
        champion, challenger: their versions.
        percent: of events that the challenger serves.
        shadows: theirs, sorted; none that is champion or challenger.
    """

    champion: int
    challenger: int | None = None
    percent: float = 0.0
    shadows: tuple[int, ...] = ()


def roles(client: "MlflowClient", registry: Registry, champion: int | None = None) -> Roles:
    """Read all roles of a registered model at once.

    A canary that was started for another version than the challenger gives it nothing.

    Parameters:
        champion: the one where nobody has the alias.

    Raises:
        RegistryError: there is no such model, or it has no champion.
        ServiceError: the registry is down.
    """
    with answering(f"can't find model {registry.name!r}@{registry.alias}"):
        model = client.get_registered_model(registry.name)
    pointing = {str(alias): int(version) for alias, version in model.aliases.items()}
    champion = pointing.get(registry.alias, champion)
    if champion is None:
        raise RegistryError(
            f"model {registry.name!r} has no alias {registry.alias!r}: 'driftline models promote' "
            "makes a version champion"
        )
    challenger = pointing.get(names.CHALLENGER)
    challenger = None if challenger == champion else challenger
    running = parse((model.tags or {}).get(CANARY_TAG, ""))
    serves = running is not None and challenger is not None and running.version == challenger
    shadows = {version for alias, version in pointing.items() if is_shadow(alias)}
    return Roles(
        champion,
        challenger,
        running.percent if serves and running is not None else 0.0,
        tuple(sorted(shadows - {champion, challenger})),
    )


def aliases(client: "MlflowClient", name: str) -> dict[str, int]:
    """Each alias of a registered model and the version that it points to.

    Raises:
        RegistryError: there is no such model.
        ServiceError: the registry is down.
    """
    with answering(f"can't read the aliases of model {name!r}"):
        found = client.get_registered_model(name).aliases
    return {str(alias): int(version) for alias, version in found.items()}


def holder(client: "MlflowClient", name: str, alias: str) -> Any:
    """MLflow's own record of the version that an alias points to; None when there is none.

    Raises:
        ServiceError: the registry is down.
    """
    what = f"can't read model {name!r}@{alias}"
    return _if_there(what, lambda: client.get_model_version_by_alias(name, alias))


def version_of(client: "MlflowClient", name: str, version: int) -> Any:
    """MLflow's own record of a version.

    Raises:
        RegistryError: there is no such version.
        ServiceError: the registry is down.
    """
    with answering(f"can't find version {version} of model {name!r}"):
        return client.get_model_version(name, str(version))


def find(client: "MlflowClient", name: str, version: int) -> Any:
    """MLflow's own record of a version; None when there is none.

    Raises:
        ServiceError: the registry is down.
    """
    what = f"can't find version {version} of model {name!r}"
    return _if_there(what, lambda: client.get_model_version(name, str(version)))


def _if_there(what: str, read: Callable[[], Any]) -> Any:
    from mlflow.exceptions import MlflowException

    with answering(what):
        try:
            return read()
        except MlflowException as error:
            if error.error_code in NOT_THERE:
                return None
            raise


def usable(client: "MlflowClient", name: str, version: int) -> bool:
    """Whether a version is there and not retired."""
    found = find(client, name, version)
    return found is not None and RETIRED_TAG not in (found.tags or {})


def require_usable(client: "MlflowClient", name: str, version: int) -> None:
    """Refuse a version that is not there or retired, with a `RegistryError`."""
    tags = version_of(client, name, version).tags or {}
    if RETIRED_TAG in tags:
        raise RegistryError(
            f"version {version} of model {name!r} was retired ({tags[RETIRED_TAG]}): register its "
            f"model again, or delete its tag {RETIRED_TAG!r} in MLflow"
        )


def point(client: "MlflowClient", name: str, alias: str, version: int) -> None:
    """Set an alias."""
    with answering(f"can't set alias {alias!r} of model {name!r}"):
        client.set_registered_model_alias(name, alias, str(version))


def unpoint(client: "MlflowClient", name: str, alias: str) -> None:
    """Delete an alias."""
    with answering(f"can't delete alias {alias!r} of model {name!r}"):
        client.delete_registered_model_alias(name, alias)


def end_other_roles(client: "MlflowClient", name: str, alias: str) -> None:
    """A champion is no challenger or shadow of itself, and its canary is over.

    Left in place they would be hidden for as long as it is champion, and begin anew after that.

    Parameters:
        alias: the champion's.

    Raises:
        ServiceError: the registry is down.
    """
    pointing = aliases(client, name)
    champion = pointing.get(alias)
    if champion is None:
        return
    for other, version in pointing.items():
        role = other == names.CHALLENGER or is_shadow(other)
        if role and version == champion and other != alias:
            unpoint(client, name, other)
    running = canary(client, name)
    if running is not None and running.version == champion:
        stop_canary(client, name)


def mark_ungated(client: "MlflowClient", name: str, version: int) -> None:
    """Tag a version that was made champion outside driftline."""
    with answering(f"can't tag version {version} of model {name!r}"):
        client.set_model_version_tag(name, str(version), DECISION_TAG, "ungated")


def is_shadow(alias: str) -> bool:
    """Whether an alias names a shadow.

    >>> [is_shadow(alias) for alias in ("shadow", "shadow-2", "champion")]
    [True, True, False]
    """
    return alias == names.SHADOW or alias.startswith(names.SHADOW + "-")


def free_shadow(taken: dict[str, int]) -> str:
    """The first alias of a shadow that nobody has.

    >>> free_shadow({"shadow": 1, "shadow-2": 3})
    'shadow-3'
    """
    if names.SHADOW not in taken:
        return names.SHADOW
    number = 2
    while f"{names.SHADOW}-{number}" in taken:
        number += 1
    return f"{names.SHADOW}-{number}"


def canary(client: "MlflowClient", name: str) -> Canary | None:
    """The canary that runs; None when there is none, or its tag is not one."""
    with answering(f"can't read the canary of model {name!r}"):
        text = (client.get_registered_model(name).tags or {}).get(CANARY_TAG)
    return None if text is None else parse(text)


def parse(text: str) -> Canary | None:
    """The tag's content; None when it is none that driftline wrote.

    >>> parse('{"percent": 5.0, "version": 3, "since": "2026-03-01T00:00:00+00:00"}').percent
    5.0
    """
    try:
        content = json.loads(text)
        found = Canary(float(content["percent"]), int(content["version"]), str(content["since"]))
    except (ValueError, KeyError, TypeError):
        return None
    return found if 0 <= found.percent <= 100 else None


def start_canary(client: "MlflowClient", name: str, percent: float) -> Canary:
    """Give the challenger a share of the events.

    Raises:
        RegistryError: the share is not within 0 to 100, or there is no challenger.
        ServiceError: the registry is down.
    """
    if not (math.isfinite(percent) and 0 <= percent <= 100):
        raise RegistryError(f"a canary of {percent:g} % is impossible: give 0 to 100")
    version = aliases(client, name).get(names.CHALLENGER)
    if version is None:
        raise RegistryError(
            f"model {name!r} has no challenger: 'driftline models challenge' makes a version one"
        )
    made = Canary(percent, version, datetime.now(UTC).isoformat(timespec="seconds"))
    with answering(f"can't start the canary of model {name!r}"):
        client.set_registered_model_tag(name, CANARY_TAG, json.dumps(made.__dict__))
    return made


def stop_canary(client: "MlflowClient", name: str) -> Canary | None:
    """End the canary; gives the one that ran."""
    running = canary(client, name)
    with answering(f"can't stop the canary of model {name!r}"):
        if CANARY_TAG in (client.get_registered_model(name).tags or {}):
            client.delete_registered_model_tag(name, CANARY_TAG)
    return running
