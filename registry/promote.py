"""Promoting a version through the gates, and going back to the champion before.

Gates are asked without a lock, which may take minutes; the alias is moved under one, in
milliseconds, and only if it still is what the evidence was gathered against. So a roll-back never
waits for somebody's gates. MLflow has no compare-and-set: who moves the alias in MLflow's own UI
in those milliseconds wins or loses unseen.
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
from driftline.registry.client import answering
from driftline.registry.client import connect as connect_registry
from driftline.registry.files.download import require_allowed
from driftline.registry.gates import ALWAYS, asked, judge
from driftline.registry.gates.verdict import Verdict
from driftline.storage.connection import Connection, connect
from driftline.storage.versions import promotions
from driftline.storage.versions.promotions import Decision, Kind
from driftline.user import current_user

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Outcome:
    """What became of a wish to promote.

    Attributes:
        decision: as it is recorded.
        verdicts: of the gates that were asked.
    """

    decision: Decision
    verdicts: Sequence[Verdict]

    @property
    def moved(self) -> bool:
        """Whether the version is champion now."""
        return self.decision.kind != "refused"


class _Champions(NamedTuple):
    pointed: int | None  # by the alias
    serving: int | None


def promote(
    config: Config, model: str, version: int, *, force: bool = False, reason: str | None = None
) -> Outcome:
    """Make a version champion if the gates pass, and record it either way.

    It is compared with the version that serves, see `_champions`; a version that somebody has made
    champion outside driftline with the last one that driftline made champion. Before anything was
    decided there may be nothing to compare with: only the signature is checked.

    Parameters:
        config: with the model in it.
        model: the model's name in the config.
        version: of its registered model.
        force: promote even if a gate fails; needs a reason.
        reason: for the record.

    Raises:
        RegistryError: no such version, it is champion already, retired or quarantined; or the
            champion changed while the gates were asked.
        ServiceError: the registry or the database is away.
    """
    if force and not (reason or "").strip():
        raise RegistryError("a forced promotion is recorded with its reason: add --reason")
    section = config.model(model)
    client = connect_registry(config.local_mlflow())
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        found = _champions(client, connection, model, section)
        _require_promotable(client, connection, model, section.registry, version, found.pointed)
        against = found.serving
        if against == version:
            against = _last_decided(client, connection, model, section.registry, version)
    gates = asked(section.gates) if against is not None else sorted(ALWAYS)
    verdicts = _ask(config, client, model, version, against, gates)
    failed = [one.name for one in verdicts if not one.passed]
    kind: Kind = "refused" if failed and not force else "forced" if failed else "promoted"
    if against is None and kind == "promoted":
        kind = "first"
    if kind == "refused":
        reason = "gates failed: " + ", ".join(failed)
    content = {"against": against, "gates": [_plain(one) for one in verdicts]}
    with locked(config, model) as connection:
        _require_unchanged(client, connection, model, section, found)
        promotions.require_not_quarantined(connection, model, version)
        decision = promotions.decide(
            connection,
            model,
            version,
            previous=found.serving if kind == "refused" else against,
            kind=kind,
            by=current_user(),
            reason=reason,
            verdict=content,
        )
        if kind != "refused":
            _move(client, connection, model, section.registry, decision)
    _write_down(client, section.registry.name, decision)
    return Outcome(decision, verdicts)


def rollback(config: Config, model: str, reason: str | None = None) -> Decision:
    """Make the champion before the present one champion again, without gates.

    Versions that are quarantined, retired or gone are skipped.

    Raises:
        RegistryError: there is no champion to go back to.
        ServiceError: the registry or the database is away.
    """
    registry = config.model(model).registry
    client = connect_registry(config.local_mlflow())
    with locked(config, model) as connection:
        current = aliases.aliases(client, registry.name).get(registry.alias)
        version = _last_champion(client, connection, model, registry, current)
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
    _write_down(client, registry.name, decision)
    return decision


@contextlib.contextmanager
def locked(config: Config, model: str) -> Iterator[Connection]:
    """A connection, as role `write`, that holds the model's promotion lock.

    Raises:
        ServiceError: another session has had it for a minute, or the database is unavailable.
    """
    postgres, name = config.local_postgres(), names.PROMOTION
    with (
        connect(postgres, "write", autocommit=True, application_name=name) as connection,
        promotions.locked(connection, model),
    ):
        yield connection


def _ask(  # noqa: PLR0917 - all of them say what is compared
    config: Config,
    client: "MlflowClient",
    model: str,
    version: int,
    champion: int | None,
    gates: list[str],
) -> list[Verdict]:
    from driftline.registry.gates.gather import gather  # its loaders are not for roll-backs

    evidence = gather(config, client, model, candidate=version, champion=champion, gates=gates)
    return judge(evidence, config.model(model).gates, gates)


def _require_promotable(  # noqa: PLR0917 - all of them say what is asked
    client: "MlflowClient",
    connection: Connection,
    model: str,
    registry: Registry,
    version: int,
    champion: int | None,
) -> None:
    aliases.require_usable(client, registry.name, version)
    promotions.require_not_quarantined(connection, model, version)
    decided = promotions.made(connection, model)
    if version == champion and (not decided or decided[-1].version == version):
        raise RegistryError(
            f"version {version} of model {registry.name!r} is {registry.alias} already"
            f"{_told(decided, version)}"
        )


def _champions(
    client: "MlflowClient", connection: Connection, model: str, section: Model
) -> _Champions:
    """Where the alias points, and what serves.

    In mode `enforce` the job goes on with the last version that was decided wherever the alias is
    moved, and in any mode while there is no alias.
    """
    pointed = aliases.aliases(client, section.registry.name).get(section.registry.alias)
    if pointed is not None and section.gates.mode == "record":
        return _Champions(pointed, pointed)
    decided = _last_decided(client, connection, model, section.registry)
    return _Champions(pointed, pointed if decided is None else decided)


def _last_decided(
    client: "MlflowClient",
    connection: Connection,
    model: str,
    registry: Registry,
    but: int | None = None,
) -> int | None:
    """The last champion that driftline made and the registry has still, but for one version."""
    decided = promotions.made(connection, model)
    gone: set[int] = set()
    while (version := promotions.before(decided, but, gone)) is not None:
        if aliases.find(client, registry.name, version) is not None:
            return version
        gone.add(version)
    return None


def _require_unchanged(
    client: "MlflowClient",
    connection: Connection,
    model: str,
    section: Model,
    expected: _Champions,
) -> None:
    now = _champions(client, connection, model, section)
    if now == expected:
        return
    moved = now.pointed != expected.pointed  # else its version was promoted, see mode `enforce`
    pair = (expected.pointed, now.pointed) if moved else (expected.serving, now.serving)
    was, became = ("no version" if one is None else f"version {one}" for one in pair)
    told = _told(promotions.made(connection, model), pair[1])
    raise RegistryError(
        f"{section.registry.alias} of model {section.registry.name!r} changed while the gates were "
        f"asked: it was {was} and is {became}{told or ', moved outside driftline'}; nothing was "
        "done, ask again"
    )


def _told(decided: Sequence[Decision], version: int | None) -> str:
    """Who made a version champion, when that was the last thing decided."""
    if not decided or decided[-1].version != version:
        return ""
    one = decided[-1]
    return f", {one.kind.replace('_', ' ')} by {one.decided_by} at {one.decided_at:%H:%M:%S}"


def _last_champion(
    client: "MlflowClient",
    connection: Connection,
    model: str,
    registry: Registry,
    current: int | None,
) -> int:
    decided = promotions.decisions(connection, model)
    barred = {one.version for one in promotions.quarantines(connection, model)}
    while (version := promotions.before(decided, current, barred)) is not None:
        if aliases.usable(client, registry.name, version):
            return version
        barred.add(version)
    skipped = f" (skipped: {', '.join(map(str, sorted(barred)))})" if barred else ""
    raise RegistryError(
        f"no champion of model {model!r} before version {current} is on record{skipped}: "
        "'driftline models history' shows the record, 'driftline models promote' makes another "
        "version champion"
    )


def _move(
    client: "MlflowClient",
    connection: Connection,
    model: str,
    registry: Registry,
    decision: Decision,
) -> None:
    """Set the alias; it is on record already, so that no job takes it for moved outside.

    Other roles end of the version that it leaves, too: it may have become champion by hand.
    """
    try:
        aliases.end_other_roles(client, registry.name, registry.alias)
        aliases.point(client, registry.name, registry.alias, decision.version)
    except DriftlineError as error:
        _take_back(connection, model, decision, error)
        raise
    aliases.end_other_roles(client, registry.name, registry.alias)


def _take_back(
    connection: Connection, model: str, decision: Decision, error: DriftlineError
) -> None:
    """Have the last champion that was decided before be the last one again.

    Where the alias points may be another one: that was moved outside, and counts as such still.
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
    earlier = promotions.made(connection, model)[:-1]
    stayed = earlier[-1].version if earlier else decision.previous
    if stayed is not None:
        promotions.decide(
            connection,
            model,
            stayed,
            previous=decision.version,
            kind="rolled_back",
            by=decision.decided_by,
            reason=f"it stayed champion: {error}",
        )


def _write_down(client: "MlflowClient", name: str, decision: Decision) -> None:
    """The decision as tags of the version and as an artifact of its run.

    Raises:
        RegistryError, ServiceError: MLflow takes none; what was decided stands in the database.
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
            f"{one['name']} {'passed' if one['passed'] else 'failed'}" for one in gates
        ),
        "driftline.verdict": json.dumps(_numbers(gates)),
    }
    failure = f"version {version} was {decision.kind.replace('_', ' ')}, but it can't be tagged so"
    with answering(failure):
        run_id = client.get_model_version(name, version).run_id
        for key, text in tags.items():
            client.set_model_version_tag(name, version, key, text[:5_000])
        if run_id:
            time = f"{decision.decided_at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
            # a run is anybody's to make, and so is the place of its artifacts
            require_allowed(client, client.get_run(run_id).info.artifact_uri)
            client.log_dict(run_id, content, f"driftline/promotion-{time}.json")


def _numbers(gates: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each gate measured, without its sentence: a tag has room for 5,000 characters."""
    return {
        one["name"]: {"measured": one["measured"], "limit": one["limit"], **one["numbers"]}
        for one in gates
    }


def _plain(verdict: Verdict) -> dict[str, Any]:
    """As JSON, which has no infinity."""
    content = asdict(verdict)
    content["numbers"] = {key: _finite(value) for key, value in verdict.numbers.items()}
    return {**content, "measured": _finite(verdict.measured), "limit": _finite(verdict.limit)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
