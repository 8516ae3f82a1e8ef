"""Promotion of a version through the gates, and rollback to the previous champion.

The gates are evaluated without a lock, which may take minutes; the alias is moved under a lock, in
milliseconds, and only if it still points to the version that the evidence was compared with. So a
rollback never waits for the gates of a promotion. MLflow has no compare-and-set: a move of the
alias in MLflow's own UI during those milliseconds is lost or overwrites this one unnoticed.
"""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple

from driftline import names
from driftline.config import Config, Model, Registry
from driftline.errors import DriftlineError, RegistryError
from driftline.registry import aliases
from driftline.registry.client import connect as connect_registry
from driftline.registry.client import translate_errors
from driftline.registry.files.download import require_allowed
from driftline.registry.gates import MANDATORY, configured, evaluate
from driftline.registry.gates.verdict import Verdict
from driftline.storage.connection import Connection, connect
from driftline.storage.versions import promotions
from driftline.storage.versions.promotions import Decision, Kind
from driftline.user import current_user

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Outcome:
    """The result of a promotion.

    Attributes:
        decision: as it is recorded.
        verdicts: of the evaluated gates.
    """

    decision: Decision
    verdicts: Sequence[Verdict]

    @property
    def promoted(self) -> bool:
        """Whether the version is champion now."""
        return self.decision.kind != "refused"


class _Champions(NamedTuple):
    aliased: int | None  # where the registry's alias points
    serving: int | None


def promote(
    config: Config, model: str, version: int, *, force: bool = False, reason: str | None = None
) -> Outcome:
    """Make a version champion if the gates pass, and record it either way.

    It is compared with the version that serves, see `_champions`. A version that became champion
    outside driftline is compared with the last champion that driftline made. Before the first
    decision there may be nothing to compare with: then only the signature is checked.

    Parameters:
        config: the configuration, with the model.
        model: the model's name in the config.
        version: the version of its registered model.
        force: promote even if a gate fails; needs a reason.
        reason: for the record.

    Raises:
        RegistryError: the version does not exist, is champion already, retired or quarantined; or
            the champion changed while the gates were evaluated.
        ServiceError: the registry or the database is unavailable.
    """
    if force and not (reason or "").strip():
        raise RegistryError("a forced promotion is recorded with its reason: add --reason")
    section = config.model(model)
    client = connect_registry(config.local_mlflow())
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        champions = _champions(client, connection, model, section)
        _require_promotable(client, connection, model, section.registry, version, champions.aliased)
        against = champions.serving
        if against == version:
            against = _last_decided(client, connection, model, section.registry, version)
    gates = configured(section.gates) if against is not None else sorted(MANDATORY)
    verdicts = _evaluate_gates(config, client, model, version, against, gates)
    failed = [verdict.name for verdict in verdicts if not verdict.passed]
    kind: Kind = "refused" if failed and not force else "forced" if failed else "promoted"
    if against is None and kind == "promoted":
        kind = "first"
    if kind == "refused":
        reason = "gates failed: " + ", ".join(failed)
    content = {"against": against, "gates": [_to_json(verdict) for verdict in verdicts]}
    with locked(config, model) as connection:
        _require_unchanged(client, connection, model, section, champions)
        promotions.require_not_quarantined(connection, model, version)
        decision = promotions.decide(
            connection,
            model,
            version,
            previous=champions.serving if kind == "refused" else against,
            kind=kind,
            by=current_user(),
            reason=reason,
            verdict=content,
        )
        if kind != "refused":
            _move(client, connection, model, section.registry, decision)
    _record_in_mlflow(client, section.registry.name, decision)
    return Outcome(decision, verdicts)


def rollback(config: Config, model: str, reason: str | None = None) -> Decision:
    """Make the previous champion champion again, without gates.

    Versions that are quarantined, retired or deleted are skipped.

    Raises:
        RegistryError: there is no previous champion.
        ServiceError: the registry or the database is unavailable.
    """
    registry = config.model(model).registry
    client = connect_registry(config.local_mlflow())
    with locked(config, model) as connection:
        current = aliases.read_aliases(client, registry.name).get(registry.alias)
        version = _rollback_target(client, connection, model, registry, current)
        decision = promotions.decide(
            connection,
            model,
            version,
            previous=current,
            kind="rolled_back",
            by=current_user(),
            reason=reason,
        )
        _move(client, connection, model, registry, decision)
    _record_in_mlflow(client, registry.name, decision)
    return decision


@contextlib.contextmanager
def locked(config: Config, model: str) -> Iterator[Connection]:
    """A connection, as role `write`, that holds the model's promotion lock.

    Raises:
        ServiceError: another session has held it for a minute, or the database is unavailable.
    """
    postgres, name = config.local_postgres(), names.PROMOTION
    with (
        connect(postgres, "write", autocommit=True, application_name=name) as connection,
        promotions.locked(connection, model),
    ):
        yield connection


def _evaluate_gates(  # noqa: PLR0917 - all of them identify what is compared
    config: Config,
    client: "MlflowClient",
    model: str,
    version: int,
    champion: int | None,
    gates: list[str],
) -> list[Verdict]:
    from driftline.registry.gates.gather import gather  # a rollback needs no loaders

    evidence = gather(config, client, model, candidate=version, champion=champion, gates=gates)
    return evaluate(evidence, config.model(model).gates, gates)


def _require_promotable(  # noqa: PLR0917 - all of them identify what is promoted
    client: "MlflowClient",
    connection: Connection,
    model: str,
    registry: Registry,
    version: int,
    champion: int | None,
) -> None:
    aliases.require_usable(client, registry.name, version)
    promotions.require_not_quarantined(connection, model, version)
    decided = promotions.champion_decisions(connection, model)
    if version == champion and (not decided or decided[-1].version == version):
        raise RegistryError(
            f"version {version} of model {registry.name!r} is already {registry.alias}"
            f"{_decided_by(decided, version)}"
        )


def _champions(
    client: "MlflowClient", connection: Connection, model: str, section: Model
) -> _Champions:
    """Where the alias points, and which version serves.

    In mode `enforce`, and in any mode without an alias, the job serves the last champion that
    driftline made, wherever the alias points.
    """
    aliased = aliases.read_aliases(client, section.registry.name).get(section.registry.alias)
    if aliased is not None and section.gates.mode == "record":
        return _Champions(aliased, aliased)
    decided = _last_decided(client, connection, model, section.registry)
    return _Champions(aliased, aliased if decided is None else decided)


def _last_decided(
    client: "MlflowClient",
    connection: Connection,
    model: str,
    registry: Registry,
    except_version: int | None = None,
) -> int | None:
    """The last champion that driftline made and that still exists, except one version."""
    decided = promotions.champion_decisions(connection, model)
    deleted: set[int] = set()
    while (version := promotions.rollback_target(decided, except_version, deleted)) is not None:
        if aliases.find_version(client, registry.name, version) is not None:
            return version
        deleted.add(version)
    return None


def _require_unchanged(
    client: "MlflowClient",
    connection: Connection,
    model: str,
    section: Model,
    expected: _Champions,
) -> None:
    champions = _champions(client, connection, model, section)
    if champions == expected:
        return
    old, new = expected.aliased, champions.aliased
    if old == new:  # the version that the alias points to was promoted, see mode `enforce`
        old, new = expected.serving, champions.serving
    was, became = ("no version" if number is None else f"version {number}" for number in (old, new))
    decided_by = _decided_by(promotions.champion_decisions(connection, model), new)
    raise RegistryError(
        f"{section.registry.alias} of model {section.registry.name!r} changed while the gates were "
        f"evaluated: it was {was} and is now {became}{decided_by or ', moved outside driftline'}; "
        "nothing was changed, run the command again"
    )


def _decided_by(decided: Sequence[Decision], version: int | None) -> str:
    """Who made a version champion, if that was the last decision."""
    if not decided or decided[-1].version != version:
        return ""
    last = decided[-1]
    return f", {last.kind.replace('_', ' ')} by {last.decided_by} at {last.decided_at:%H:%M:%S}"


def _rollback_target(
    client: "MlflowClient",
    connection: Connection,
    model: str,
    registry: Registry,
    current: int | None,
) -> int:
    decided = promotions.decisions(connection, model)
    excluded = {entry.version for entry in promotions.quarantines(connection, model)}
    while (version := promotions.rollback_target(decided, current, excluded)) is not None:
        if aliases.is_usable(client, registry.name, version):
            return version
        excluded.add(version)
    skipped = f" (excluded: {', '.join(map(str, sorted(excluded)))})" if excluded else ""
    raise RegistryError(
        f"model {model!r} has no champion before version {current} to roll back to{skipped}: see "
        "'driftline models history', or make another version champion with 'driftline models "
        "promote'"
    )


def _move(
    client: "MlflowClient",
    connection: Connection,
    model: str,
    registry: Registry,
    decision: Decision,
) -> None:
    """Set the alias; the decision is recorded first, so that no job mistakes it for a foreign move.

    The version that loses the alias loses its other roles, too: it may have become champion
    outside driftline.
    """
    try:
        aliases.remove_other_roles(client, registry.name, registry.alias)
        aliases.set_alias(client, registry.name, registry.alias, decision.version)
    except DriftlineError as error:
        _revert(connection, model, decision, error)
        raise
    aliases.remove_other_roles(client, registry.name, registry.alias)


def _revert(connection: Connection, model: str, decision: Decision, error: DriftlineError) -> None:
    """Record that the promotion failed, and that the previous decided champion is the last again.

    The alias may point to another version: that was moved outside driftline, and still counts so.
    """
    promotions.decide(
        connection,
        model,
        decision.version,
        previous=decision.previous,
        kind="refused",
        by=decision.decided_by,
        reason=f"the alias could not be moved: {error}",
    )
    earlier = promotions.champion_decisions(connection, model)[:-1]
    champion = earlier[-1].version if earlier else decision.previous
    if champion is not None:
        promotions.decide(
            connection,
            model,
            champion,
            previous=decision.version,
            kind="rolled_back",
            by=decision.decided_by,
            reason=f"it is still champion: {error}",
        )


def _record_in_mlflow(client: "MlflowClient", name: str, decision: Decision) -> None:
    """Write the decision to the version's tags and to an artifact of its run.

    Raises:
        RegistryError, ServiceError: MLflow rejects them; the database has the decision.
    """
    version = str(decision.version)
    content = {**asdict(decision), "decided_at": decision.decided_at.isoformat()}
    gates = (decision.verdict or {}).get("gates", [])
    tags = {
        aliases.DECISION_TAG: decision.kind,
        "driftline.decided_at": content["decided_at"],
        "driftline.decided_by": decision.decided_by,
        "driftline.reason": decision.reason or "",
        "driftline.gates": ", ".join(
            f"{gate['name']} {'passed' if gate['passed'] else 'failed'}" for gate in gates
        ),
        "driftline.verdict": json.dumps(_numbers(gates)),
    }
    failure = f"version {version} was {decision.kind.replace('_', ' ')}, but can't be tagged"
    with translate_errors(failure):
        run_id = client.get_model_version(name, version).run_id
        for key, text in tags.items():
            client.set_model_version_tag(name, version, key, text[:5_000])
        if run_id:
            time = f"{decision.decided_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
            # anybody may have created the run, with any artifact location
            require_allowed(client, client.get_run(run_id).info.artifact_uri)
            client.log_dict(run_id, content, f"driftline/promotion-{time}.json")


def _numbers(gates: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each gate's measurements, without its sentence: a tag holds at most 5,000 characters."""
    return {
        gate["name"]: {"measured": gate["measured"], "limit": gate["limit"], **gate["numbers"]}
        for gate in gates
    }


def _to_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict for JSON, which has no infinity."""
    content = asdict(verdict)
    content["numbers"] = {key: _finite(value) for key, value in verdict.numbers.items()}
    return {**content, "measured": _finite(verdict.measured), "limit": _finite(verdict.limit)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
