"""`driftline models promote | rollback | history`; heavy imports stay in the functions."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    ModelName,
    VersionNumber,
    WhyOption,
    echo,
    say,
    show,
)
from driftline.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from driftline.registry.gates.verdict import Verdict
    from driftline.storage.versions.promotions import Decision


def promote(
    name: ModelName,
    version: VersionNumber,
    force: Annotated[
        bool, typer.Option("--force", help="Even if a gate fails; needs --reason.")
    ] = False,
    reason: WhyOption = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a version champion if the gates pass; exit code 1 when they do not."""
    from driftline.config import load
    from driftline.registry.promote import promote as ask

    outcome = ask(load(config), name, version, force=force, reason=reason)
    decision = outcome.decision
    if as_json:
        echo(asdict(decision))
    else:
        _print_verdicts(outcome.verdicts)
        for verdict in outcome.verdicts:
            if not verdict.passed:
                say(f"{verdict.name}: {verdict.sentence}")
        say(_sentence(name, decision))
    if not outcome.moved:
        raise typer.Exit(1)


def rollback(
    name: ModelName,
    reason: WhyOption = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make the champion before this one champion again, at once and without gates."""
    from driftline.config import load
    from driftline.registry.promote import rollback as go_back

    decision = go_back(load(config), name, reason)
    if as_json:
        echo(asdict(decision))
    else:
        say(_sentence(name, decision))


def history(
    name: ModelName,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what was decided of a model's versions, and what the job's workers did with them."""
    from driftline.config import load
    from driftline.registry.timeline import spans
    from driftline.storage.connection import connect
    from driftline.storage.versions import promotions

    loaded = load(config)
    loaded.model(name)
    with connect(loaded.local_postgres(), "read") as connection:
        decided = promotions.decisions(connection, name)[-limit:]
        happened = spans(promotions.events(connection, name))[-limit:]
    if as_json:
        echo(
            {
                "decisions": [asdict(one) for one in decided],
                "events": [asdict(one) for one in happened],
            }
        )
        return
    show(
        ("decided", "version", "what", "champion before", "by", "reason"),
        [
            (
                f"{one.decided_at:%Y-%m-%d %H:%M:%S}",
                one.version,
                one.kind.replace("_", " "),
                one.previous,
                one.decided_by,
                one.reason,
            )
            for one in decided
        ],
        "decisions",
    )
    show(
        ("from", "to", "version", "role", "what", "workers", "detail"),
        [
            (
                f"{one.first:%Y-%m-%d %H:%M:%S.%f}"[:-3],
                f"{one.last:%H:%M:%S.%f}"[:-3],
                one.version,
                one.role,
                one.kind,
                len(one.workers),
                one.detail,
            )
            for one in happened
        ],
        "events",
    )


def _print_verdicts(verdicts: "Sequence[Verdict]") -> None:
    rows = [
        (
            one.name,
            "passed" if one.passed else "failed",
            None if one.measured is None else f"{one.measured:.4g}",
            None if one.limit is None else f"{one.limit:.4g}",
            one.sentence,
        )
        for one in verdicts
    ]
    show(("gate", "verdict", "measured", "limit", ""), rows)


def _sentence(name: str, decision: "Decision") -> str:
    before = f"version {decision.previous}" if decision.previous else "none"
    ending = {
        "refused": f"was not promoted; the champion is still {before}",
        "first": "is the first champion",
        "forced": f"is champion by force; before: {before}",
        "promoted": f"is champion; before: {before}",
        "rolled_back": f"is champion again; before: {before}",
    }
    if decision.kind not in ending:
        raise RegistryError(f"unknown decision {decision.kind!r}: update driftline")
    return f"{name} version {decision.version} {ending[decision.kind]}"
