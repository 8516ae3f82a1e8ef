"""Plans and outcomes as text, without the values of secrets."""

import difflib
import json
from collections.abc import Iterator
from typing import Any

from driftline.dashboards.sync.apply import Outcome
from driftline.dashboards.sync.merge import ORDER, Change, changes
from driftline.dashboards.sync.plan import Plan, Step
from driftline.errors import DriftlineError

_SIGNS = {"create": "+", "update": "~", "delete": "-", "forget": " ", "nothing": " "}
_WIDTH = 60


def lines_of(plan: Plan) -> list[str]:
    """One line per object that differs, its changes below it, and the totals."""
    lines = [line for step in plan.steps for line in _step(step)]
    return [*lines, _totals(plan)]


def _step(step: Step) -> list[str]:
    lines = []
    if step.action not in ("nothing", "forget"):
        lines.append(f"{_SIGNS[step.action]} {step.kind.name} {step.uid}: {_action(step)}")
        lines += [f"    {line}" for change in step.changes for line in _lines_of(change)]
        lines += [f"    {name}: (secret)" for name in sorted(step.secrets)]
    lines += _failed(step)
    lines += _conflicts(step)
    prefix = f"= {step.kind.name} {step.uid}: edited in Grafana, kept: "
    return [*lines, *(prefix + line for edit in step.edits for line in _lines_of(edit))]


def failure(kind: str, uid: str, error: DriftlineError) -> str:
    """The line for an object that could not be read, generated or written."""
    return f"! {kind} {uid}: {error}"


def _failed(step: Step) -> list[str]:
    return [] if step.failed is None else [failure(step.kind.name, step.uid, step.failed)]


def _conflicts(step: Step) -> list[str]:
    prefix = f"! {step.kind.name} {step.uid}: conflict, not changed: "
    return [prefix + line for conflict in step.conflicts for line in _lines_of(conflict)]


def _action(step: Step) -> str:
    title = "" if step.title == step.uid else f" {step.title!r}"
    recreated = ", which was deleted in Grafana" if step.recreated else ""
    return f"{step.action}{title}{recreated}"


def _lines_of(change: Change) -> list[str]:
    """The lines for a change; one per element of a list."""
    old, new = change.old, change.new
    if change.path[-1:] == (ORDER,):
        return [f"{change.dotted_path}: {_positions(old, old)} -> {_positions(old, new)}"]
    if not isinstance(old, list) or not isinstance(new, list):
        return [f"{change.dotted_path}: {_short(old)} -> {_short(new)}"]
    if len(old) == len(new):
        return [line for inner in _elements(change) for line in _lines_of(inner)]
    removed = [f"{change.dotted_path}: removed {_short(item)}" for item in old if item not in new]
    added = [f"{change.dotted_path}: added {_short(item)}" for item in new if item not in old]
    return [*removed, *added] or [f"{change.dotted_path}: {len(old)} -> {len(new)} elements"]


def _elements(change: Change) -> Iterator[Change]:
    for index, (old, new) in enumerate(zip(change.old, change.new, strict=True)):
        yield from changes(old, new, (*change.path, str(index)))


def _positions(old: list[str], new: list[str]) -> str:
    """The keys as their old positions, because keys are long; `+` is a new key."""
    return " ".join(str(old.index(key) + 1) if key in old else "+" for key in new)


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, dict | list) else json.dumps(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _totals(plan: Plan) -> str:
    count = {
        action: sum(step.action == action for step in plan.steps)
        for action in ("create", "update", "delete")
    }
    unchanged = sum(not step.differs for step in plan.steps)
    edits = sum(len(step.edits) for step in plan.steps)
    conflicts = sum(len(step.conflicts) for step in plan.steps)
    failed = sum(step.failed is not None for step in plan.steps)
    return (
        f"{count['create']} to create, {count['update']} to change, {count['delete']} to delete, "
        f"{unchanged} unchanged; {edits} edits in Grafana kept, {conflicts} conflicts, "
        f"{failed} failed; {plan.requests} requests"
    )


def diff_of(plan: Plan) -> list[str]:
    """Each change in full, as a unified diff from the live to the new state, and failures."""
    lines: list[str] = []
    for step in plan.steps:
        lines += _failed(step)
        if step.action in ("nothing", "forget"):
            continue
        name = f"{step.kind.name}/{step.uid}"
        new = step.payload.tree if step.payload and step.action != "delete" else None
        lines += difflib.unified_diff(
            _lines(step.live_tree), _lines(new), f"grafana/{name}", f"driftline/{name}", lineterm=""
        )
    return lines


def _lines(value: Any) -> list[str]:
    return [] if value is None else json.dumps(value, indent=2, sort_keys=True).splitlines()


def outcome_lines(outcome: Outcome) -> list[str]:
    """What was done, what could not be deleted, and what failed."""
    lines = [f"{_SIGNS[step.action]} {step.kind.name} {step.uid}" for step in outcome.done]
    for step in outcome.plan.steps:
        lines += _conflicts(step)
    lines += [
        f"= {step.kind.name} {step.uid}: not deleted: {reason}" for step, reason in outcome.retained
    ]
    lines += [failure(step.kind.name, step.uid, error) for step, error in outcome.failed]
    failed = len(outcome.failed)
    lines.append(f"{len(outcome.done)} done, {failed} failed; {outcome.requests} requests")
    return lines


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan in JSON form."""
    return {
        "differs": plan.differs,
        "requests": plan.requests,
        "steps": [
            {
                "kind": step.kind.name,
                "uid": step.uid,
                "action": step.action,
                "changes": [change.dotted_path for change in step.changes],
                "secrets": sorted(step.secrets),
                "edits": [change.dotted_path for change in step.edits],
                "conflicts": [change.dotted_path for change in step.conflicts],
                "failed": None if step.failed is None else str(step.failed),
            }
            for step in plan.steps
        ],
    }
