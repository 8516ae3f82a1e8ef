"""Plans and outcomes as text; no value of a secret is part of either."""

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
    """One line an object that differs, with what differs below, and the sum."""
    lines = [line for step in plan.steps for line in _step(step)]
    return [*lines, _sum(plan)]


def _step(step: Step) -> list[str]:
    lines = []
    if step.action not in ("nothing", "forget"):
        lines.append(f"{_SIGNS[step.action]} {step.kind.name} {step.uid}: {_doing(step)}")
        lines += [f"    {line}" for change in step.changes for line in _lines_of(change)]
        lines += [f"    {name}: (secret)" for name in sorted(step.secrets)]
    lines += _failed(step)
    lines += _conflicts(step)
    kept = f"= {step.kind.name} {step.uid}: edited in Grafana, kept: "
    return [*lines, *(kept + line for edit in step.edits for line in _lines_of(edit))]


def failure(kind: str, uid: str, error: DriftlineError) -> str:
    """An object that could not be read, generated or carried out."""
    return f"! {kind} {uid}: {error}"


def _failed(step: Step) -> list[str]:
    return [] if step.failed is None else [failure(step.kind.name, step.uid, step.failed)]


def _conflicts(step: Step) -> list[str]:
    name = f"{step.kind.name} {step.uid}"
    left = f"! {name}: conflict, left as it is: "
    return [left + line for one in step.conflicts for line in _lines_of(one)]


def _doing(step: Step) -> str:
    title = "" if step.title == step.uid else f" {step.title!r}"
    again = ", which was deleted in Grafana" if step.again else ""
    return f"{step.action}{title}{again}"


def _lines_of(change: Change) -> list[str]:
    """What a change is, by element where it is one of a list."""
    old, new = change.old, change.new
    if change.path[-1:] == (ORDER,):
        return [f"{change.where}: {_places(old, old)} -> {_places(old, new)}"]
    if not isinstance(old, list) or not isinstance(new, list):
        return [f"{change.where}: {_short(old)} -> {_short(new)}"]
    if len(old) == len(new):
        return [line for one in _elements(change) for line in _lines_of(one)]
    gone = [f"{change.where}: without {_short(one)}" for one in old if one not in new]
    added = [f"{change.where}: with {_short(one)}" for one in new if one not in old]
    return [*gone, *added] or [f"{change.where}: {len(old)} -> {len(new)} elements"]


def _elements(change: Change) -> Iterator[Change]:
    for at, (old, new) in enumerate(zip(change.old, change.new, strict=True)):
        yield from changes(old, new, (*change.path, str(at)))


def _places(old: list[str], new: list[str]) -> str:
    """By the places they had, as keys are long; `+` is new."""
    return " ".join(str(old.index(key) + 1) if key in old else "+" for key in new)


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, dict | list) else json.dumps(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _sum(plan: Plan) -> str:
    count = {
        action: sum(step.action == action for step in plan.steps)
        for action in ("create", "update", "delete")
    }
    same = sum(not step.differs for step in plan.steps)
    edits = sum(len(step.edits) for step in plan.steps)
    conflicts = sum(len(step.conflicts) for step in plan.steps)
    failed = sum(step.failed is not None for step in plan.steps)
    return (
        f"{count['create']} to create, {count['update']} to change, {count['delete']} to delete, "
        f"{same} as they should be; {edits} edits of people kept, {conflicts} conflicts, "
        f"{failed} failed; {plan.requests} requests"
    )


def diff_of(plan: Plan) -> list[str]:
    """Each change in full, as a unified diff from what is there to what will be, and failures."""
    lines: list[str] = []
    for step in plan.steps:
        lines += _failed(step)
        if step.action in ("nothing", "forget"):
            continue
        name = f"{step.kind.name}/{step.uid}"
        then = step.sent.tree if step.sent and step.action != "delete" else None
        lines += difflib.unified_diff(
            _lines(step.there), _lines(then), f"grafana/{name}", f"driftline/{name}", lineterm=""
        )
    return lines


def _lines(value: Any) -> list[str]:
    return [] if value is None else json.dumps(value, indent=2, sort_keys=True).splitlines()


def outcome_lines(outcome: Outcome) -> list[str]:
    """What was done, what had to stay, what failed."""
    lines = [f"{_SIGNS[step.action]} {step.kind.name} {step.uid}" for step in outcome.done]
    for step in outcome.plan.steps:
        lines += _conflicts(step)
    lines += [f"= {step.kind.name} {step.uid}: stays, {why}" for step, why in outcome.kept]
    lines += [failure(step.kind.name, step.uid, error) for step, error in outcome.failed]
    failed = len(outcome.failed)
    lines.append(f"{len(outcome.done)} done, {failed} failed; {outcome.requests} requests")
    return lines


def as_json(plan: Plan) -> dict[str, Any]:
    """The plan for machines."""
    return {
        "differs": plan.differs,
        "requests": plan.requests,
        "steps": [
            {
                "kind": step.kind.name,
                "uid": step.uid,
                "action": step.action,
                "changes": [change.where for change in step.changes],
                "secrets": sorted(step.secrets),
                "edits": [change.where for change in step.edits],
                "conflicts": [change.where for change in step.conflicts],
                "failed": None if step.failed is None else str(step.failed),
            }
            for step in plan.steps
        ],
    }
