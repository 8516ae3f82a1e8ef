"""Carrying a plan out: in order, some at a time, and one that fails stops no other."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds import Wanted
from driftline.dashboards.sync.plan import Plan, Step, plan, step_for
from driftline.errors import DriftlineError
from driftline.storage.monitoring.grafana_state import GrafanaState

log = logging.getLogger("driftline.grafana")


_USERS = ("dashboard", "rule")
_USED = ("datasource", "contact_point", "mute_timing")
_NAMED = 3  # in a message


@dataclass
class Outcome:
    """What was done.

    Attributes:
        done: steps that were carried out.
        kept: uid and reason of what was to be deleted, but has to stay.
        failed: uid and error of what could not be done.
    """

    plan: Plan
    done: list[Step] = field(default_factory=list)
    kept: list[tuple[Step, str]] = field(default_factory=list)
    failed: list[tuple[Step, DriftlineError]] = field(default_factory=list)
    requests: int = 0

    @property
    def ok(self) -> bool:
        """Whether all of it was done."""
        return not self.failed


def apply(
    server: Server, state: GrafanaState, wanted: Iterable[Wanted], *, force: bool = False
) -> Outcome:
    """Bring Grafana to what is wanted; what people edited stays.

    One at a time for each Grafana, whoever starts it. Safe to run again at any point: what was
    left half-done is found and finished.

    Raises:
        GrafanaError: the server does not answer, or the token may not read.
    """
    objects = list(wanted)
    server.hide([secret for one in objects for secret in one.secrets.values()])
    before = server.requests
    with state.locked():
        planned = plan(server, state, objects, force=force)
        outcome = Outcome(planned)
        by_key = {(one.kind, one.uid): one for one in objects}
        run = Run(server, state, by_key, outcome, force)
        for _, steps in groupby(planned.steps, key=lambda step: (step.kind.name, step.action)):
            run.together(list(steps))
    outcome.requests = server.requests - before
    return outcome


@dataclass
class Run:
    """One apply under way."""

    server: Server
    state: GrafanaState
    wanted: dict[tuple[str, str], Wanted]
    outcome: Outcome
    force: bool

    def together(self, steps: list[Step]) -> None:
        """Steps of one kind, `concurrency` at a time; rules of one folder in turn.

        Grafana locks a rule group while it writes one of its rules.
        """
        lanes: dict[str, list[Step]] = {}
        for step in steps:  # folders alternate: steps are in the order of uids
            lanes.setdefault(_lane(step), []).append(step)
        with ThreadPoolExecutor(self.server.settings.concurrency) as pool:
            list(pool.map(self._lane, lanes.values()))

    def _lane(self, steps: list[Step]) -> None:
        for step in steps:
            self._one(step)

    def _one(self, step: Step) -> None:
        try:
            if step.failed is not None:
                raise step.failed
            self._carry_out(step)
        except DriftlineError as error:
            log.info("%s %s: %s", *step.key, error)
            self.outcome.failed.append((step, error))

    def _carry_out(self, step: Step) -> None:
        if step.action == "forget":
            self.state.forget(step.key)
        elif step.action == "delete":
            self._delete(step)
        elif step.action == "nothing":
            self._remember(step)
        else:
            self._send(step)

    def _send(self, step: Step, again: bool = True) -> None:
        assert step.sent is not None
        made = step.made or step.action == "create"
        self.state.intend(step.key, {"sent": step.sent.tree, "tree": step.remembered, "made": made})
        try:
            step.kind.send(self.server, step.sent)
        except GrafanaError as error:
            if not (error.stale and again):
                raise
            newer = self._anew(step)
            if newer.action in ("create", "update"):
                self._send(newer, again=False)
            else:
                self._remember(newer)
            return
        self._record(replace(step, made=made))
        self.outcome.done.append(step)

    def _anew(self, step: Step) -> Step:
        """The step as it is after somebody else's change in between."""
        live = step.kind.read(self.server, [step.uid]).get(step.uid)
        last = self.state.load().get(step.key)
        return step_for(
            self.server,
            self.state,
            step.kind,
            live,
            last,
            wanted=self.wanted[step.key],
            force=self.force,
        )

    def _remember(self, step: Step) -> None:
        if step.failed is not None:
            raise step.failed
        if step.remembered is not None and not step.settled:
            self._record(step)

    def _record(self, step: Step) -> None:
        content: dict[str, Any] = {"tree": step.remembered, "made": step.made}
        secrets = step.sent.secrets if step.sent else {}
        self.state.record(step.key, content, secrets)

    def _delete(self, step: Step) -> None:
        assert step.live is not None
        reason = self._used(step) or step.kind.delete(
            self.server, step.uid, step.live, step.remembered or {}
        )
        if reason is None:
            self.state.forget(step.key)
            self.outcome.done.append(step)
        else:
            self.outcome.kept.append((step, reason))

    def _used(self, step: Step) -> str | None:
        """What others use that had to stay, stays: a rule without its data source alarms for ever,
        and nobody is told by one without its contact point."""
        if step.kind.name not in _USED:
            return None
        failed = {one.key for one, _ in self.outcome.failed}
        left = [
            f"{one.kind.name} {one.uid}"
            for one in self.outcome.plan.steps
            if one.kind.name in _USERS
            and one.key not in self.wanted
            and one.action != "forget"
            and (one.action == "nothing" or one.key in failed)
        ]
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        return (
            f"as these stay, which may use it: {', '.join(left[:_NAMED])}{more}" if left else None
        )


def _lane(step: Step) -> str:
    """Steps of one lane follow one another."""
    if step.kind.name not in ("rule", "rule_group"):
        return step.uid
    content = step.sent.tree if step.sent else (step.live or {})
    return str(content.get("folderUID", step.uid))
