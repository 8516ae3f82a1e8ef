"""What is known of a model's versions: registry, record and live events in one answer."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from driftline.config import Config
from driftline.errors import RegistryError
from driftline.registry import aliases
from driftline.registry.client import answering
from driftline.registry.client import connect as connect_registry
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
        ServiceError: the registry or the database is away.
    """
    name = config.model(model).registry.name
    client = connect_registry(config.local_mlflow())
    barred, ungated = _quarantined(config, model), _ungated(config, client, model)
    with answering(f"can't read the versions of model {name!r}"):
        found = versions(client, name)
        retired = {
            one.version
            for one in found
            if aliases.RETIRED_TAG in (client.get_model_version(name, str(one.version)).tags or {})
        }
    running = aliases.canary(client, name)
    return {
        "model": model,
        "registered": name,
        "canary": None if running is None else asdict(running),
        "versions": [
            {**asdict(one), "state": _state(one.version, barred, retired, ungated)} for one in found
        ],
    }


def details(config: Config, model: str, version: int) -> dict[str, Any]:
    """All that is known of one version.

    Raises:
        RegistryError: there is no such version.
        ServiceError: the registry or the database is away.
    """
    name = config.model(model).registry.name
    client = connect_registry(config.local_mlflow())
    record = aliases.version_of(client, name, version)
    pointing = [one for one, v in aliases.aliases(client, name).items() if v == version]
    with connect(config.local_postgres(), "read") as connection:
        decided = [one for one in promotions.decisions(connection, model) if one.version == version]
        barred = promotions.quarantines(connection, model)
    quarantined = next((one.reason for one in barred if one.version == version), None)
    return {
        **asdict(Version.of(record, tuple(sorted(pointing)))),
        "aliases": ", ".join(sorted(pointing)),
        "quarantine": quarantined,
        "metrics": _metrics(client, record.run_id),
        "tags": dict(record.tags or {}),
        "decisions": [
            f"{one.decided_at:%Y-%m-%d %H:%M:%S} {one.kind.replace('_', ' ')} by {one.decided_by}"
            for one in decided
        ],
    }


def comparison(config: Config, model: str, first: int, second: int) -> dict[str, Any]:
    """Two versions side by side, on the live events that both have scored.

    Raises:
        RegistryError: there is no such version.
        ServiceError: the registry or the database is away.
    """
    section = config.model(model)
    client = connect_registry(config.local_mlflow())
    records = [
        aliases.version_of(client, section.registry.name, version) for version in (first, second)
    ]
    pairs = live_evidence.pairs(
        config.local_postgres(), model, first, second, window=section.gates.window
    )
    columns = (
        (pairs.champion, pairs.champion_ms),
        (pairs.candidate, pairs.candidate_ms),
    )
    sides = [
        {
            "version": version,
            **{f"metric {key}": value for key, value in _metrics(client, record.run_id).items()},
            **_of_scores(score, ms),
        }
        for version, record, (score, ms) in zip((first, second), records, columns, strict=True)
    ]
    both = np.isfinite(pairs.champion) & np.isfinite(pairs.candidate)
    apart = np.abs(pairs.candidate - pairs.champion)[both]
    live = {"events": len(pairs)}
    more = {
        "mean_difference": float(apart.mean()) if len(apart) else None,
        "p99_difference": float(np.quantile(apart, 0.99)) if len(apart) else None,
    }
    return {"model": model, "versions": sides, "live": {**live, **more}}


def retire(config: Config, model: str, version: int) -> str:
    """Mark a version as retired; its files and its record stay. Gives the tag's text.

    Raises:
        RegistryError: there is no such version, or an alias points to it.
        ServiceError: the registry is down.
    """
    name = config.model(model).registry.name
    client = connect_registry(config.local_mlflow())
    aliases.version_of(client, name, version)
    pointing = [one for one, v in aliases.aliases(client, name).items() if v == version]
    if pointing:
        raise RegistryError(
            f"version {version} of model {model!r} is {', '.join(sorted(pointing))}: it can't be "
            "retired while an alias points to it"
        )
    text = f"by {current_user()} at {datetime.now(UTC).isoformat(timespec='seconds')}"
    with answering(f"can't retire version {version} of model {name!r}"):
        client.set_model_version_tag(name, str(version), aliases.RETIRED_TAG, text)
    return text


def _quarantined(config: Config, model: str) -> dict[int, str]:
    with connect(config.local_postgres(), "read") as connection:
        return {one.version: one.reason for one in promotions.quarantines(connection, model)}


def _ungated(config: Config, client: "MlflowClient", model: str) -> int | None:
    """The champion, where its alias was moved outside driftline."""
    registry = config.model(model).registry
    champion = aliases.aliases(client, registry.name).get(registry.alias)
    with connect(config.local_postgres(), "read") as connection:
        decided = promotions.made(connection, model)
    return champion if decided and decided[-1].version != champion else None


def _state(version: int, barred: dict[int, str], retired: set[int], ungated: int | None) -> str:
    if version in barred:
        return f"quarantined: {barred[version]}"
    if version == ungated:
        return "ungated"
    return "retired" if version in retired else ""


def _metrics(client: "MlflowClient", run_id: str | None) -> dict[str, float]:
    if not run_id:
        return {}
    with answering(f"can't read run {run_id!r}"):
        return dict(client.get_run(run_id).data.metrics)


def _of_scores(
    score: npt.NDArray[np.float64], ms: npt.NDArray[np.float64]
) -> dict[str, float | int]:
    known = score[np.isfinite(score)]
    if not len(known):
        return {"failed": len(score)}
    shares = dict(zip(_QUANTILES, np.quantile(known, _QUANTILES), strict=True))
    return {
        "failed": len(score) - len(known),
        "score mean": float(known.mean()),
        **{f"score p{share * 100:g}": float(value) for share, value in shares.items()},
        "inference ms p50": float(np.quantile(ms, 0.5)),
        "inference ms p99": float(np.quantile(ms, 0.99)),
    }
