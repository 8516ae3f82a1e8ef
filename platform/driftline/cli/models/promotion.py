"""`driftline models promote | rollback | history`; heavy imports stay in the functions."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.cli.console import print_json, print_line, print_table
from driftline.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    ModelName,
    OptionalReason,
    VersionNumber,
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
        bool, typer.Option("--force", help="Promote even if a gate fails; requires --reason.")
    ] = False,
    reason: OptionalReason = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Promote a version to champion if it passes the gates; exit code 1 if it does not."""
    from driftline.config import load
    from driftline.registry.promote import promote as ask

    outcome = ask(load(config), name, version, force=force, reason=reason)
    decision = outcome.decision
    if as_json:
        print_json(asdict(decision))
    else:
        _print_verdicts(outcome.verdicts)
        for verdict in outcome.verdicts:
            if not verdict.passed:
                print_line(f"{verdict.name}: {verdict.sentence}")
        print_line(_sentence(name, decision))
    if not outcome.promoted:
        raise typer.Exit(1)


def rollback(
    name: ModelName,
    reason: OptionalReason = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make the previous champion the champion again, immediately and without gates."""
    from driftline.config import load
    from driftline.registry.promote import rollback as go_back

    decision = go_back(load(config), name, reason)
    if as_json:
        print_json(asdict(decision))
    else:
        print_line(_sentence(name, decision))


def history(
    name: ModelName,
    limit: Annotated[int, typer.Option(min=1, help="Show at most N, newest last.")] = 50,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the promotion decisions about a model's versions and how the job applied them."""
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
        print_json(
            {
                "decisions": [asdict(record) for record in decided],
                "events": [asdict(record) for record in happened],
            }
        )
        return
    print_table(
        ("time", "version", "decision", "previous champion", "by", "reason"),
        [
            (
                f"{record.decided_at:%Y-%m-%d %H:%M:%S}",
                record.version,
                record.kind.replace("_", " "),
                record.previous,
                record.decided_by,
                record.reason,
            )
            for record in decided
        ],
        "decisions",
    )
    print_table(
        ("from", "to", "version", "role", "event", "workers", "detail"),
        [
            (
                f"{record.first:%Y-%m-%d %H:%M:%S.%f}"[:-3],
                f"{record.last:%H:%M:%S.%f}"[:-3],
                record.version,
                record.role,
                record.kind,
                len(record.workers),
                record.detail,
            )
            for record in happened
        ],
        "events",
    )


def _print_verdicts(verdicts: "Sequence[Verdict]") -> None:
    rows = [
        (
            verdict.name,
            "passed" if verdict.passed else "failed",
            None if verdict.measured is None else f"{verdict.measured:.4g}",
            None if verdict.limit is None else f"{verdict.limit:.4g}",
            verdict.sentence,
        )
        for verdict in verdicts
    ]
    print_table(("gate", "verdict", "measured", "limit", ""), rows)


def _sentence(name: str, decision: "Decision") -> str:
    previous = f"version {decision.previous}" if decision.previous else "none"
    ending = {
        "refused": f"was not promoted; the champion is still {previous}",
        "first": "is the first champion",
        "forced": f"is champion by force; previous: {previous}",
        "promoted": f"is champion; previous: {previous}",
        "rolled_back": f"is champion again; previous: {previous}",
    }
    if decision.kind not in ending:
        raise RegistryError(f"unknown decision {decision.kind!r}: update driftline")
    return f"{name} version {decision.version} {ending[decision.kind]}"
