"""Plans: the steps from the live state to the desired state, given what was applied last."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds import KINDS, DesiredObject, Kind, Payload
from driftline.dashboards.sync.kinds.kind import EDITABLE, LOCKED, check_provenance, provenance
from driftline.dashboards.sync.merge import MISSING, Change, Path, changes, merge
from driftline.errors import DriftlineError
from driftline.storage.monitoring.grafana_state import Applied, GrafanaState, Key

Json = dict[str, Any]
POLICY = "policy"
_SOURCE = "datasource"
Action = Literal["create", "update", "delete", "forget", "nothing"]


@dataclass(frozen=True)
class Step:
    """The action for one object, and the reasons.

    Attributes:
        changes: from the live tree to the new one.
        edits: changes by people since the last apply, which are kept.
        conflicts: changed by people and by driftline; edits are kept unless forced.
        next_base: the base of the next merge: what is applied now, in conflicts the old base.
        live_tree: the tree of `live`, without secrets.
        created: by driftline; an object that already existed is never deleted.
        recorded: whether `next_base` is already stored.
        recreated: it was applied before, and somebody deleted it.
        failed: why the object could not be planned.
    """

    kind: Kind
    uid: str
    title: str
    action: Action
    changes: list[Change] = field(default_factory=list)
    edits: list[Change] = field(default_factory=list)
    conflicts: list[Change] = field(default_factory=list)
    secrets: frozenset[str] = frozenset()
    payload: Payload | None = None
    next_base: Json | None = None
    live: Json | None = field(default=None, repr=False)
    live_tree: Json | None = field(default=None, repr=False)
    created: bool = True
    recorded: bool = False
    recreated: bool = False
    failed: DriftlineError | None = None

    @property
    def key(self) -> Key:
        """Kind and uid."""
        return self.kind.name, self.uid

    @property
    def differs(self) -> bool:
        """Whether Grafana differs from the desired state, apart from edits that are kept."""
        return self.action not in ("nothing", "forget") or bool(self.conflicts or self.failed)


@dataclass(frozen=True)
class Plan:
    """All steps, in an order that respects dependencies."""

    steps: list[Step]
    requests: int

    @property
    def differs(self) -> bool:
        """Whether there are changes, conflicts or failures."""
        return any(step.differs for step in self.steps)


def plan(
    server: Server, state: GrafanaState, desired: Iterable[DesiredObject], *, force: bool = False
) -> Plan:
    """Compare the desired state with Grafana; changes nothing.

    Requests: one each for folders, mute timings, contact points, rules and policies, if used, one
    for the data source, and one per dashboard and rule group.

    Raises:
        GrafanaError: the server does not respond, or the token lacks read permission.
    """
    requests_before = server.requests
    by_kind = _by_kind(desired)
    applied = state.load()
    steps: list[Step] = []
    removals: list[Step] = []
    for kind in KINDS:
        objects = by_kind.get(kind.name, {})
        applied_uids = {uid for name, uid in applied if name == kind.name}
        uids = sorted({*objects, *applied_uids})
        if not uids:
            continue
        if kind.name == _SOURCE and not server.settings.data_source.manage:
            removals += [Step(kind, uid, uid, "forget") for uid in uids]  # no longer managed
            continue
        live = kind.read(server, uids)
        for uid in uids:
            states = (kind, live.get(uid), applied.get((kind.name, uid)))
            if uid in objects:
                steps.append(step_for(server, state, *states, desired=objects[uid], force=force))
            else:
                removals.append(_removal(*states, uid, force=force))
    return Plan([*steps, *reversed(removals)], server.requests - requests_before)


def _by_kind(desired: Iterable[DesiredObject]) -> dict[str, dict[str, DesiredObject]]:
    by_kind: dict[str, dict[str, DesiredObject]] = {}
    for item in desired:
        by_kind.setdefault(item.kind, {})[item.uid] = item
    return by_kind


def step_for(
    server: Server,
    state: GrafanaState,
    kind: Kind,
    live: Json | GrafanaError | None,
    last: Applied | None,
    *,
    desired: DesiredObject,
    force: bool,
) -> Step:
    """The step for one desired object."""
    if isinstance(live, GrafanaError):
        return Step(kind, desired.uid, desired.title, "nothing", failed=live)
    if desired.failed is not None:
        return Step(kind, desired.uid, desired.title, "nothing", failed=desired.failed)
    desired_tree = kind.tree(desired.content, desired.secrets)
    if live is None:
        payload = Payload(desired.uid, desired_tree, desired.content, None, desired.secrets)
        return Step(
            kind,
            desired.uid,
            desired.title,
            "create",
            secrets=frozenset(desired.secrets),
            payload=payload,
            next_base=desired_tree,
            recreated=last is not None and last.applied is not None,
        )
    hidden = {*desired.secrets, *(last.secrets if last else ())}
    live_tree = kind.tree(live, hidden)
    base, created = _base(last, live_tree)
    created |= kind.name == POLICY  # driftline only adds routes to the existing tree
    merged = merge(base, live_tree, desired_tree, force=force)
    changed = state.changed_secrets(last, desired.secrets)
    changed |= kind.missing_secrets(live, desired.secrets)
    differences = list(changes(live_tree, merged.value))
    if kind.lockable:
        try:
            differences += _locked(server, f"{kind.name} {desired.uid!r}", live)
        except GrafanaError as error:
            return Step(kind, desired.uid, desired.title, "nothing", failed=error)
    conflicts = [] if force else merged.conflicts
    unmerged = desired.content if merged.value == desired_tree else None
    next_base = _next_base(base, desired_tree, conflicts)
    record = Applied({"tree": next_base, "made": created}, None, last.secrets if last else {})
    return Step(
        kind,
        desired.uid,
        desired.title,
        "update" if differences or changed else "nothing",
        changes=differences,
        edits=[edit for edit in merged.edits if _is_kept(merged.value, edit)],
        conflicts=conflicts,
        secrets=frozenset(changed),
        payload=Payload(
            desired.uid, merged.value, unmerged, live, desired.secrets, frozenset(changed)
        ),
        next_base=next_base,
        live=live,
        live_tree=live_tree,
        created=created,
        recorded=last == record,
    )


def _locked(server: Server, name: str, live: Json) -> list[Change]:
    """The change of the provenance (editable or locked) that `grafana.provenance` requires.

    Raises:
        GrafanaError: it is locked, which cannot be undone.
    """
    current, configured = provenance(live), server.settings.provenance
    if current == LOCKED:
        check_provenance(server, name, live)
    if current != EDITABLE or current == configured:
        return []
    return [Change(("provenance",), current, configured)]


def _base(last: Applied | None, live_tree: Json) -> tuple[Any, bool]:
    """What was applied (a pending payload if it arrived), and whether driftline created it."""
    if last is None:
        return MISSING, False
    if last.pending is not None and last.pending["sent"] == live_tree:
        return last.pending["tree"], bool(last.pending["made"])
    if last.applied is None:
        return MISSING, bool((last.pending or {}).get("made"))
    return last.applied["tree"], bool(last.applied["made"])


def _is_kept(value: Any, edit: Change) -> bool:
    for key in edit.path:
        value = value.get(key, MISSING) if isinstance(value, dict) else MISSING
    return bool(value == edit.new)


def _next_base(base: Any, desired_tree: Json, conflicts: list[Change]) -> Json:
    """The generated tree, with the old base in conflicts, so that they are reported again."""
    tree: Any = desired_tree
    for conflict in conflicts:
        old = base
        for key in conflict.path:
            old = old.get(key, MISSING) if isinstance(old, dict) else MISSING
        tree = _replaced(tree, conflict.path, old)
    return tree if isinstance(tree, dict) else {}


def _replaced(tree: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    copy = dict(tree) if isinstance(tree, dict) else {}
    new = _replaced(copy.get(path[0], MISSING), path[1:], value)
    if new is MISSING:
        copy.pop(path[0], None)
    else:
        copy[path[0]] = new
    return copy


def _removal(
    kind: Kind, live: Json | GrafanaError | None, last: Applied | None, uid: str, *, force: bool
) -> Step:
    """The step for an object that was applied and is no longer desired."""
    if isinstance(live, GrafanaError):
        return Step(kind, uid, uid, "nothing", failed=live)
    if live is None or last is None:
        return Step(kind, uid, uid, "forget")
    live_tree = kind.tree(live, set(last.secrets))
    base, created = _base(last, live_tree)
    if not created:
        return Step(kind, uid, uid, "forget", created=False)
    applied_tree = {} if base is MISSING else base
    edits = list(changes(applied_tree, live_tree))
    if edits and not force:
        return Step(kind, uid, uid, "nothing", conflicts=edits, live=live, live_tree=live_tree)
    return Step(kind, uid, uid, "delete", live=live, live_tree=live_tree, next_base=applied_tree)
