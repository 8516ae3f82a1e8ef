"""Promoting a version through the gates, and going back to the champion before.

Gates are asked without a lock, which may take minutes; the alias is moved under one, in
milliseconds, and only if it still is what the evidence was gathered against. So a roll-back never
waits for somebody's gates. MLflow has no compare-and-set: who moves the alias in MLflow's own UI
in those milliseconds wins or loses unseen.
"""

import contextlib
import getpass
import json
import math
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from driftline import names
from driftline.config import Config, Registry
from driftline.errors import DriftlineError, RegistryError, ServiceError
from driftline.storage import promotions
from driftline.storage.connection import Connection, connect
from driftline.storage.promotions import Decision, Kind
from registry import aliases
from registry.client import answering
from registry.client import connect as connect_registry
from registry.gates import ALWAYS, asked, judge
from registry.gates.verdict import Verdict

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PATIENCE = timedelta(seconds=60)


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


def decider() -> str:
    """Who decides, for the record: `DRIFTLINE_USER`, else user@host."""
    return os.environ.get("DRIFTLINE_USER") or f"{getpass.getuser()}@{socket.gethostname()}"


def promote(
    config: Config, model: str, version: int, *, force: bool = False, reason: str | None = None
) -> Outcome:
    """Make a version champion if the gates pass, and record it either way.

    Without a champion there is nothing to compare with: only the signature is checked. A version
    that somebody has made champion outside driftline is compared with the last one that driftline
    made champion.

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
    expected = aliases.aliases(client, section.registry.name).get(section.registry.alias)
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        _require_promotable(client, connection, model, section.registry, version, expected)
        against = _to_compare_with(connection, model, version, expected)
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
        _require_unchanged(client, connection, model, section.registry, expected)
        promotions.require_not_quarantined(connection, model, version)
        decision = promotions.decide(
            connection,
            model,
            version,
            previous=expected if kind == "refused" else against,
            kind=kind,
            by=decider(),
            reason=reason,
            verdict=content,
        )
        if kind != "refused":
            _move(client, connection, model, section.registry, decision)
    _write_down(client, section.registry.name, decision)
    if kind != "refused":
        _end_other_roles(client, section.registry, version)
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
            by=decider(),
            reason=reason,
        )
        _move(client, connection, model, registry, decision)
    _write_down(client, registry.name, decision)
    return decision


@contextlib.contextmanager
def locked(config: Config, model: str) -> Iterator[Connection]:
    """A connection, as role `write`, that holds the model's promotion lock.

    Raises:
        ServiceError: somebody holds it for a minute, or the database is away.
    """
    postgres = config.local_postgres()
    with connect(postgres, "write", autocommit=True, lock_timeout=_PATIENCE) as connection:
        try:
            connection.execute(
                "SELECT pg_advisory_lock(%s, hashtext(%s))", [names.PROMOTION_LOCK, model]
            )
        except psycopg.errors.LockNotAvailable as error:
            raise ServiceError(
                f"somebody has been moving the champion of model {model!r} for a minute: try "
                "again, or look for the lock in pg_locks"
            ) from error
        yield connection  # closing it releases the lock


def _ask(  # noqa: PLR0917 - all of them say what is compared
    config: Config,
    client: "MlflowClient",
    model: str,
    version: int,
    champion: int | None,
    gates: list[str],
) -> list[Verdict]:
    from registry.gates.gather import gather  # noqa: PLC0415 - its loaders are not for roll-backs

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


def _to_compare_with(
    connection: Connection, model: str, version: int, champion: int | None
) -> int | None:
    """The champion; where the version is that itself, ungated, the last one that was decided."""
    if version != champion:
        return champion
    return promotions.made(connection, model)[-1].version


def _require_unchanged(
    client: "MlflowClient",
    connection: Connection,
    model: str,
    registry: Registry,
    expected: int | None,
) -> None:
    now = aliases.aliases(client, registry.name).get(registry.alias)
    if now == expected:
        return
    was, became = ("no version" if one is None else f"version {one}" for one in (expected, now))
    told = _told(promotions.made(connection, model), now)
    raise RegistryError(
        f"{registry.alias} of model {registry.name!r} changed while the gates were asked: it was "
        f"{was} and is {became}{told or ', moved outside driftline'}; nothing was done, ask again"
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
    """Set the alias; it is on record already, so that no job takes it for moved outside."""
    try:
        aliases.point(client, registry.name, registry.alias, decision.version)
    except DriftlineError as error:
        promotions.decide(
            connection,
            model,
            decision.version,
            previous=decision.previous,
            kind="refused",
            by=decision.decided_by,
            reason=f"the alias could not be moved: {error}",
        )
        if decision.previous is not None:  # so that it does not count as moved outside
            promotions.decide(
                connection,
                model,
                decision.previous,
                previous=decision.version,
                kind="rolled_back",
                by=decision.decided_by,
                reason=f"it stayed champion: {error}",
            )
        raise


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
            client.log_dict(run_id, content, f"driftline/promotion-{time}.json")


def _numbers(gates: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What each gate measured, without its sentence: a tag has room for 5,000 characters."""
    return {
        one["name"]: {"measured": one["measured"], "limit": one["limit"], **one["numbers"]}
        for one in gates
    }


def _end_other_roles(client: "MlflowClient", registry: Registry, version: int) -> None:
    """A champion is no challenger or shadow of itself, and its canary is over."""
    for alias, pointed in aliases.aliases(client, registry.name).items():
        other = alias == names.CHALLENGER or aliases.is_shadow(alias)
        if other and pointed == version and alias != registry.alias:
            aliases.unpoint(client, registry.name, alias)
    running = aliases.canary(client, registry.name)
    if running is not None and running.version == version:
        aliases.stop_canary(client, registry.name)


def _plain(verdict: Verdict) -> dict[str, Any]:
    """As JSON, which has no infinity."""
    content = asdict(verdict)
    content["numbers"] = {key: _finite(value) for key, value in verdict.numbers.items()}
    return {**content, "measured": _finite(verdict.measured), "limit": _finite(verdict.limit)}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
