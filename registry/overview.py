"""Reports about a model's versions, from the registry, the decisions and the live events."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from driftline.config import Config
from driftline.errors import RegistryError
from driftline.registry import aliases
from driftline.registry.client import connect as connect_registry
from driftline.registry.client import translate_errors
from driftline.registry.versions import Version, versions
from driftline.storage.connection import connect
from driftline.storage.versions import live_evidence, promotions
from driftline.user import current_user

if TYPE_CHECKING:
    from mlflow import MlflowClient

_QUANTILES = (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)


def overview(config: Config, model: str) -> dict[str, Any]:
    """A model's versions, newest first, with aliases and state; and its canary.

    Raises:
        RegistryError: the model is not registered.
        ServiceError: the registry or the database is unavailable.
    """
    name = config.model(model).registry.name
    client = connect_registry(config.local_mlflow())
    quarantined, ungated = _quarantined(config, model), _ungated(config, client, model)
    with translate_errors(f"can't read the versions of model {name!r}"):
        all_versions = versions(client, name)
        records = [client.get_model_version(name, str(item.version)) for item in all_versions]
    retired = {int(item.version) for item in records if aliases.RETIRED_TAG in (item.tags or {})}
    running = aliases.read_canary(client, name)
    return {
        "model": model,
        "registered": name,
        "canary": None if running is None else asdict(running),
        "versions": [
            {**asdict(item), "state": _state(item.version, quarantined, retired, ungated)}
            for item in all_versions
        ],
    }


def details(config: Config, model: str, version: int) -> dict[str, Any]:
    """One version: aliases, quarantine, metrics, tags and decisions.

    Raises:
        RegistryError: there is no such version.
        ServiceError: the registry or the database is unavailable.
    """
    name = config.model(model).registry.name
    client = connect_registry(config.local_mlflow())
    record = aliases.get_version(client, name, version)
    own_aliases = _aliases_of(client, name, version)
    with connect(config.local_postgres(), "read") as connection:
        decisions = promotions.decisions(connection, model)
    return {
        **asdict(Version.of(record, own_aliases)),
        "aliases": ", ".join(own_aliases),
        "quarantine": _quarantined(config, model).get(version),
        "metrics": _metrics(client, record.run_id),
        "tags": dict(record.tags or {}),
        "decisions": [
            f"{row.decided_at:%Y-%m-%d %H:%M:%S} {row.kind.replace('_', ' ')} by {row.decided_by}"
            for row in decisions
            if row.version == version
        ],
    }


def comparison(config: Config, model: str, first: int, second: int) -> dict[str, Any]:
    """Two versions side by side, on the live events that both have scored.

    Raises:
        RegistryError: there is no such version.
        ServiceError: the registry or the database is unavailable.
    """
    section = config.model(model)
    client = connect_registry(config.local_mlflow())
    records = [
        aliases.get_version(client, section.registry.name, version) for version in (first, second)
    ]
    pairs = live_evidence.pairs(
        config.local_postgres(), model, first, second, window=section.gates.evidence_window
    )
    columns = (
        (pairs.champion, pairs.champion_ms),
        (pairs.candidate, pairs.candidate_ms),
    )
    sides = [
        {
            "version": version,
            **{f"metric {key}": value for key, value in _metrics(client, record.run_id).items()},
            **_score_summary(score, ms),
        }
        for version, record, (score, ms) in zip((first, second), records, columns, strict=True)
    ]
    both = np.isfinite(pairs.champion) & np.isfinite(pairs.candidate)
    difference = np.abs(pairs.candidate - pairs.champion)[both]
    live = {
        "events": len(pairs),
        "mean_difference": float(difference.mean()) if len(difference) else None,
        "p99_difference": float(np.quantile(difference, 0.99)) if len(difference) else None,
    }
    return {"model": model, "versions": sides, "live": live}


def retire(config: Config, model: str, version: int) -> str:
    """Mark a version as retired; its files and its history are kept. Returns the tag's text.

    Raises:
        RegistryError: there is no such version, or an alias points to it.
        ServiceError: the registry is unavailable.
    """
    name = config.model(model).registry.name
    client = connect_registry(config.local_mlflow())
    aliases.get_version(client, name, version)
    if own_aliases := _aliases_of(client, name, version):
        raise RegistryError(
            f"version {version} of model {model!r} is {', '.join(own_aliases)}: it can't be "
            "retired while an alias points to it"
        )
    text = f"by {current_user()} at {datetime.now(UTC).isoformat(timespec='seconds')}"
    with translate_errors(f"can't retire version {version} of model {name!r}"):
        client.set_model_version_tag(name, str(version), aliases.RETIRED_TAG, text)
    return text


def _quarantined(config: Config, model: str) -> dict[int, str]:
    with connect(config.local_postgres(), "read") as connection:
        return {entry.version: entry.reason for entry in promotions.quarantines(connection, model)}


def _aliases_of(client: "MlflowClient", name: str, version: int) -> tuple[str, ...]:
    by_alias = aliases.read_aliases(client, name)
    return tuple(sorted(alias for alias, number in by_alias.items() if number == version))


def _ungated(config: Config, client: "MlflowClient", model: str) -> int | None:
    """The champion, if its alias was moved outside driftline."""
    registry = config.model(model).registry
    champion = aliases.read_aliases(client, registry.name).get(registry.alias)
    with connect(config.local_postgres(), "read") as connection:
        decisions = promotions.champion_decisions(connection, model)
    return champion if decisions and decisions[-1].version != champion else None


def _state(
    version: int, quarantined: dict[int, str], retired: set[int], ungated: int | None
) -> str:
    if version in quarantined:
        return f"quarantined: {quarantined[version]}"
    if version == ungated:
        return "ungated"
    return "retired" if version in retired else ""


def _metrics(client: "MlflowClient", run_id: str | None) -> dict[str, float]:
    if not run_id:
        return {}
    with translate_errors(f"can't read run {run_id!r}"):
        return dict(client.get_run(run_id).data.metrics)


def _score_summary(
    score: npt.NDArray[np.float64], ms: npt.NDArray[np.float64]
) -> dict[str, float | int]:
    finite = score[np.isfinite(score)]
    if not len(finite):
        return {"failed": len(score)}
    quantiles = zip(_QUANTILES, np.quantile(finite, _QUANTILES), strict=True)
    return {
        "failed": len(score) - len(finite),
        "score mean": float(finite.mean()),
        **{f"score p{level * 100:g}": float(value) for level, value in quantiles},
        "inference ms p50": float(np.quantile(ms, 0.5)),
        "inference ms p99": float(np.quantile(ms, 0.99)),
    }
