"""Roles of versions as aliases of a registered model, and its canary and decisions as tags."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from driftline import names
from driftline.config import Registry
from driftline.errors import RegistryError
from driftline.registry.client import NOT_FOUND, translate_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient

#: Tag of a registered model: the JSON of `Canary`.
CANARY_TAG = "driftline.canary"
#: Tag of a version: the last decision about it, or `ungated`.
DECISION_TAG = "driftline.decision"
#: Tag of a version: when it was retired, and by whom.
RETIRED_TAG = "driftline.retired"


@dataclass(frozen=True)
class Canary:
    """The share of events that the challenger serves.

    Attributes:
        percent: of events, 0 to 100.
        version: the challenger that it was started for; another challenger gets no events.
        since: ISO time of the start or the last change.
    """

    percent: float
    version: int
    since: str


@dataclass(frozen=True)
class Roles:
    """The versions that score a model's events, according to the registry.

    Attributes:
        champion, challenger: their version numbers.
        percent: the share of events that the challenger serves.
        shadows: their version numbers, sorted, without champion and challenger.
    """

    champion: int
    challenger: int | None = None
    percent: float = 0.0
    shadows: tuple[int, ...] = ()


def read_roles(client: "MlflowClient", registry: Registry, champion: int | None = None) -> Roles:
    """Read all roles of a registered model in one request.

    A canary that was started for another version than the current challenger is ignored.

    Parameters:
        champion: the version to use if no version has the champion's alias.

    Raises:
        RegistryError: there is no such model, or it has no champion.
        ServiceError: the registry is unavailable.
    """
    with translate_errors(f"can't find model {registry.name!r}@{registry.alias}"):
        model = client.get_registered_model(registry.name)
    by_alias = {str(alias): int(version) for alias, version in model.aliases.items()}
    champion = by_alias.get(registry.alias, champion)
    if champion is None:
        raise RegistryError(
            f"model {registry.name!r} has no alias {registry.alias!r}: run 'driftline models "
            "promote' to make a version champion"
        )
    challenger = by_alias.get(names.CHALLENGER)
    challenger = None if challenger == champion else challenger
    running = parse_canary((model.tags or {}).get(CANARY_TAG, ""))
    percent = running.percent if running is not None and running.version == challenger else 0.0
    shadows = {version for alias, version in by_alias.items() if is_shadow(alias)}
    return Roles(champion, challenger, percent, tuple(sorted(shadows - {champion, challenger})))


def read_aliases(client: "MlflowClient", name: str) -> dict[str, int]:
    """Each alias of a registered model and the version that it points to.

    Raises:
        RegistryError: there is no such model.
        ServiceError: the registry is unavailable.
    """
    with translate_errors(f"can't read the aliases of model {name!r}"):
        by_alias = client.get_registered_model(name).aliases
    return {str(alias): int(version) for alias, version in by_alias.items()}


def find_by_alias(client: "MlflowClient", name: str, alias: str) -> Any:
    """MLflow's own record of the version that an alias points to; None if there is none.

    Raises:
        ServiceError: the registry is unavailable.
    """
    failure = f"can't read model {name!r}@{alias}"
    return _none_if_missing(failure, lambda: client.get_model_version_by_alias(name, alias))


def get_version(client: "MlflowClient", name: str, version: int) -> Any:
    """MLflow's own record of a version.

    Raises:
        RegistryError: there is no such version.
        ServiceError: the registry is unavailable.
    """
    with translate_errors(f"can't find version {version} of model {name!r}"):
        return client.get_model_version(name, str(version))


def find_version(client: "MlflowClient", name: str, version: int) -> Any:
    """MLflow's own record of a version; None if there is none.

    Raises:
        ServiceError: the registry is unavailable.
    """
    failure = f"can't find version {version} of model {name!r}"
    return _none_if_missing(failure, lambda: client.get_model_version(name, str(version)))


def _none_if_missing(failure: str, read: Callable[[], Any]) -> Any:
    from mlflow.exceptions import MlflowException

    with translate_errors(failure):
        try:
            return read()
        except MlflowException as error:
            if error.error_code in NOT_FOUND:
                return None
            raise


def is_usable(client: "MlflowClient", name: str, version: int) -> bool:
    """Whether a version exists and is not retired."""
    record = find_version(client, name, version)
    return record is not None and RETIRED_TAG not in (record.tags or {})


def require_usable(client: "MlflowClient", name: str, version: int) -> None:
    """Raise `RegistryError` if a version does not exist or is retired."""
    tags = get_version(client, name, version).tags or {}
    if RETIRED_TAG in tags:
        raise RegistryError(
            f"version {version} of model {name!r} was retired ({tags[RETIRED_TAG]}): register its "
            f"model again, or delete the tag {RETIRED_TAG!r} in MLflow"
        )


def set_alias(client: "MlflowClient", name: str, alias: str, version: int) -> None:
    """Set an alias."""
    with translate_errors(f"can't set alias {alias!r} of model {name!r}"):
        client.set_registered_model_alias(name, alias, str(version))


def delete_alias(client: "MlflowClient", name: str, alias: str) -> None:
    """Delete an alias."""
    with translate_errors(f"can't delete alias {alias!r} of model {name!r}"):
        client.delete_registered_model_alias(name, alias)


def remove_other_roles(client: "MlflowClient", name: str, alias: str) -> None:
    """Remove the champion's aliases as challenger or shadow, and stop its canary.

    If they were kept, they would have no effect while it is champion, and resume after that.

    Parameters:
        alias: the champion's.

    Raises:
        ServiceError: the registry is unavailable.
    """
    by_alias = read_aliases(client, name)
    champion = by_alias.get(alias)
    if champion is None:
        return
    for other, version in by_alias.items():
        is_role = other == names.CHALLENGER or is_shadow(other)
        if is_role and version == champion and other != alias:
            delete_alias(client, name, other)
    running = read_canary(client, name)
    if running is not None and running.version == champion:
        stop_canary(client, name)


def mark_ungated(client: "MlflowClient", name: str, version: int) -> None:
    """Tag a version that became champion outside driftline."""
    with translate_errors(f"can't tag version {version} of model {name!r}"):
        client.set_model_version_tag(name, str(version), DECISION_TAG, "ungated")


def is_shadow(alias: str) -> bool:
    """Whether an alias names a shadow.

    >>> [is_shadow(alias) for alias in ("shadow", "shadow-2", "champion")]
    [True, True, False]
    """
    return alias == names.SHADOW or alias.startswith(names.SHADOW + "-")


def next_shadow_alias(taken: dict[str, int]) -> str:
    """The first alias for a shadow that is not in use.

    >>> next_shadow_alias({"shadow": 1, "shadow-2": 3})
    'shadow-3'
    """
    if names.SHADOW not in taken:
        return names.SHADOW
    number = 2
    while f"{names.SHADOW}-{number}" in taken:
        number += 1
    return f"{names.SHADOW}-{number}"


def read_canary(client: "MlflowClient", name: str) -> Canary | None:
    """The running canary; None if there is none, or its tag is invalid."""
    with translate_errors(f"can't read the canary of model {name!r}"):
        text = (client.get_registered_model(name).tags or {}).get(CANARY_TAG)
    return None if text is None else parse_canary(text)


def parse_canary(text: str) -> Canary | None:
    """The content of a canary's tag; None if it is invalid.

    >>> text = '{"percent": 5.0, "version": 3, "since": "2026-03-01T00:00:00+00:00"}'
    >>> parse_canary(text).percent
    5.0
    """
    try:
        content = json.loads(text)
        canary = Canary(float(content["percent"]), int(content["version"]), str(content["since"]))
    except (ValueError, KeyError, TypeError):
        return None
    return canary if 0 <= canary.percent <= 100 else None


def start_canary(client: "MlflowClient", name: str, percent: float) -> Canary:
    """Send a share of the events to the challenger.

    Raises:
        RegistryError: the share is not within 0 to 100, or there is no challenger.
        ServiceError: the registry is unavailable.
    """
    if not (math.isfinite(percent) and 0 <= percent <= 100):
        raise RegistryError(f"a canary of {percent:g} % is impossible: use 0 to 100")
    version = read_aliases(client, name).get(names.CHALLENGER)
    if version is None:
        raise RegistryError(
            f"model {name!r} has no challenger: run 'driftline models challenge' to set one"
        )
    canary = Canary(percent, version, datetime.now(UTC).isoformat(timespec="seconds"))
    with translate_errors(f"can't start the canary of model {name!r}"):
        client.set_registered_model_tag(name, CANARY_TAG, json.dumps(canary.__dict__))
    return canary


def stop_canary(client: "MlflowClient", name: str) -> Canary | None:
    """Stop the canary; returns the one that was running."""
    running = read_canary(client, name)
    with translate_errors(f"can't stop the canary of model {name!r}"):
        if CANARY_TAG in (client.get_registered_model(name).tags or {}):
            client.delete_registered_model_tag(name, CANARY_TAG)
    return running
