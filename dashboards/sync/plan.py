"""What would have to be done, from what was applied, what is there, and what is generated."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds import KINDS, Kind, Sent, Wanted
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
    """What is to be done with one object, and why.

    Attributes:
        changes: between what is there and what will be.
        edits: what people changed since it was applied; it stays.
        conflicts: changed by people and by us; theirs stays unless forced.
        remembered: what is applied then, for the next merge; conflicts are left as they were.
        there: the tree of what is there, without secrets.
        made: by driftline; what was there before is never deleted.
        settled: is remembered just so already.
        again: it was applied, and somebody deleted it.
        failed: why nothing can be said of it.
    """

    kind: Kind
    uid: str
    title: str
    action: Action
    changes: list[Change] = field(default_factory=list)
    edits: list[Change] = field(default_factory=list)
    conflicts: list[Change] = field(default_factory=list)
    secrets: frozenset[str] = frozenset()
    sent: Sent | None = None
    remembered: Json | None = None
    live: Json | None = field(default=None, repr=False)
    there: Json | None = field(default=None, repr=False)
    made: bool = True
    settled: bool = False
    again: bool = False
    failed: DriftlineError | None = None

    @property
    def key(self) -> Key:
        """Kind and uid."""
        return self.kind.name, self.uid

    @property
    def differs(self) -> bool:
        """Whether Grafana is not as generated, beside what people may edit."""
        return self.action not in ("nothing", "forget") or bool(self.conflicts or self.failed)


@dataclass(frozen=True)
class Plan:
    """All steps, in an order that can be carried out."""

    steps: list[Step]
    requests: int

    @property
    def differs(self) -> bool:
        """Whether there is anything to do or to decide."""
        return any(step.differs for step in self.steps)


def plan(
    server: Server, state: GrafanaState, wanted: Iterable[Wanted], *, force: bool = False
) -> Plan:
    """Compare; changes nothing.

    Requests: one each for folders, mute timings, contact points, rules and policies, as far as
    they are used, one for the data source, and one a dashboard and a rule group.

    Raises:
        GrafanaError: the server does not answer, or the token may not read.
    """
    before = server.requests
    by_kind = _sorted(wanted)
    applied = state.load()
    steps: list[Step] = []
    gone: list[Step] = []
    for kind in KINDS:
        mine = by_kind.get(kind.name, {})
        known = {uid for name, uid in applied if name == kind.name}
        uids = sorted({*mine, *known})
        if not uids:
            continue
        if kind.name == _SOURCE and not server.settings.data_source.manage:
            gone += [Step(kind, uid, uid, "forget") for uid in uids]  # it is somebody else's now
            continue
        live = kind.read(server, uids)
        for uid in uids:
            three = (kind, live.get(uid), applied.get((kind.name, uid)))
            if uid in mine:
                steps.append(step_for(server, state, *three, wanted=mine[uid], force=force))
            else:
                gone.append(_removal(*three, uid, force=force))
    return Plan([*steps, *reversed(gone)], server.requests - before)


def _sorted(wanted: Iterable[Wanted]) -> dict[str, dict[str, Wanted]]:
    by_kind: dict[str, dict[str, Wanted]] = {}
    for one in wanted:
        by_kind.setdefault(one.kind, {})[one.uid] = one
    return by_kind


def step_for(
    server: Server,
    state: GrafanaState,
    kind: Kind,
    live: Json | GrafanaError | None,
    last: Applied | None,
    *,
    wanted: Wanted,
    force: bool,
) -> Step:
    """The step for one object that is wanted."""
    if isinstance(live, GrafanaError):
        return Step(kind, wanted.uid, wanted.title, "nothing", failed=live)
    if wanted.failed is not None:
        return Step(kind, wanted.uid, wanted.title, "nothing", failed=wanted.failed)
    ours = kind.tree(wanted.content, wanted.secrets)
    if live is None:
        sent = Sent(wanted.uid, ours, wanted.content, None, wanted.secrets)
        return Step(
            kind,
            wanted.uid,
            wanted.title,
            "create",
            secrets=frozenset(wanted.secrets),
            sent=sent,
            remembered=ours,
            again=last is not None and last.applied is not None,
        )
    hidden = {*wanted.secrets, *(last.secrets if last else ())}
    there = kind.tree(live, hidden)
    base, made = _base(last, there)
    made = made or kind.name == POLICY  # there is always a tree, and only routes of it are ours
    merged = merge(base, there, ours, force=force)
    changed = state.changed_secrets(last, wanted.secrets)
    changed |= kind.missing_secrets(live, wanted.secrets)
    moved = list(changes(there, merged.value))
    if kind.lockable:
        try:
            moved += _locked(server, f"{kind.name} {wanted.uid!r}", live)
        except GrafanaError as error:
            return Step(kind, wanted.uid, wanted.title, "nothing", failed=error)
    left = [] if force else merged.conflicts
    plain = wanted.content if merged.value == ours else None
    remembered = _remembered(base, ours, left)
    note = Applied({"tree": remembered, "made": made}, None, last.secrets if last else {})
    return Step(
        kind,
        wanted.uid,
        wanted.title,
        "update" if moved or changed else "nothing",
        changes=moved,
        edits=[edit for edit in merged.edits if _stays(merged.value, edit)],
        conflicts=left,
        secrets=frozenset(changed),
        sent=Sent(wanted.uid, merged.value, plain, live, wanted.secrets, frozenset(changed)),
        remembered=remembered,
        live=live,
        there=there,
        made=made,
        settled=last == note,
    )


def _locked(server: Server, what: str, live: Json) -> list[Change]:
    """The change of who may edit it, as `grafana.provenance` asks for.

    Raises:
        GrafanaError: it is locked, which can't be undone.
    """
    found, wanted = provenance(live), server.settings.provenance
    if found == LOCKED:
        check_provenance(server, what, live)
    if found != EDITABLE or found == wanted:
        return []
    return [Change(("provenance",), found, wanted)]


def _base(last: Applied | None, there: Json) -> tuple[Any, bool]:
    """What was applied, and whether we made it: what was sent counts when it did arrive."""
    if last is None:
        return MISSING, False
    if last.pending is not None and last.pending["sent"] == there:
        return last.pending["tree"], bool(last.pending["made"])
    if last.applied is None:
        return MISSING, bool((last.pending or {}).get("made"))
    return last.applied["tree"], bool(last.applied["made"])


def _stays(value: Any, edit: Change) -> bool:
    for key in edit.path:
        value = value.get(key, MISSING) if isinstance(value, dict) else MISSING
    return bool(value == edit.new)


def _remembered(base: Any, ours: Json, conflicts: list[Change]) -> Json:
    """Ours, but as before where it is disputed, so that the dispute is not forgotten."""
    made: Any = ours
    for conflict in conflicts:
        old = base
        for key in conflict.path:
            old = old.get(key, MISSING) if isinstance(old, dict) else MISSING
        made = _replaced(made, conflict.path, old)
    return made if isinstance(made, dict) else {}


def _replaced(tree: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    inside = dict(tree) if isinstance(tree, dict) else {}
    new = _replaced(inside.get(path[0], MISSING), path[1:], value)
    if new is MISSING:
        inside.pop(path[0], None)
    else:
        inside[path[0]] = new
    return inside


def _removal(
    kind: Kind, live: Json | GrafanaError | None, last: Applied | None, uid: str, *, force: bool
) -> Step:
    """The step for one that was applied and is not wanted any more."""
    if isinstance(live, GrafanaError):
        return Step(kind, uid, uid, "nothing", failed=live)
    if live is None or last is None:
        return Step(kind, uid, uid, "forget")
    there = kind.tree(live, set(last.secrets))
    base, made = _base(last, there)
    if not made:
        return Step(kind, uid, uid, "forget", made=False)
    known = {} if base is MISSING else base
    edits = list(changes(known, there))
    if edits and not force:
        return Step(kind, uid, uid, "nothing", conflicts=edits, live=live, there=there)
    return Step(kind, uid, uid, "delete", live=live, there=there, remembered=known)
