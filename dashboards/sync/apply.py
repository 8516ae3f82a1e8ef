"""Carry out a plan in order, several steps at a time; a failed step does not stop the others."""

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from driftline.dashboards.sync.grafana_client import GrafanaError, Server
from driftline.dashboards.sync.kinds import DesiredObject
from driftline.dashboards.sync.plan import Plan, Step, plan, step_for
from driftline.errors import DriftlineError
from driftline.storage.monitoring.grafana_state import GrafanaState

log = logging.getLogger("driftline.grafana")


_USERS = ("dashboard", "rule")
_USED = ("datasource", "contact_point", "mute_timing")
_MAX_NAMED = 3  # objects in a message


@dataclass
class Outcome:
    """The result of an apply.

    Attributes:
        done: steps that were carried out.
        retained: deletions that were not possible, with the reason.
        failed: steps that failed, with the error.
    """

    plan: Plan
    done: list[Step] = field(default_factory=list)
    retained: list[tuple[Step, str]] = field(default_factory=list)
    failed: list[tuple[Step, DriftlineError]] = field(default_factory=list)
    requests: int = 0

    @property
    def ok(self) -> bool:
        """Whether no step failed."""
        return not self.failed


def apply(
    server: Server, state: GrafanaState, desired: Iterable[DesiredObject], *, force: bool = False
) -> Outcome:
    """Bring Grafana to the desired state; edits by people are kept.

    A lock in the database allows one apply per Grafana at a time. Safe to repeat after a crash at
    any point: an incomplete apply is detected and completed.

    Raises:
        GrafanaError: the server does not respond, or the token lacks read permission.
    """
    objects = list(desired)
    server.hide([secret for item in objects for secret in item.secrets.values()])
    requests_before = server.requests
    with state.locked():
        planned = plan(server, state, objects, force=force)
        outcome = Outcome(planned)
        by_key = {(item.kind, item.uid): item for item in objects}
        run = Run(server, state, by_key, outcome, force)
        for _, steps in groupby(planned.steps, key=lambda step: (step.kind.name, step.action)):
            run.run_steps(list(steps))
    outcome.requests = server.requests - requests_before
    return outcome


@dataclass
class Run:
    """One apply in progress."""

    server: Server
    state: GrafanaState
    desired: dict[tuple[str, str], DesiredObject]
    outcome: Outcome
    force: bool

    def run_steps(self, steps: list[Step]) -> None:
        """Run steps of one kind, `concurrency` at a time; rules of one folder one after another.

        Grafana locks a rule group while it writes one of its rules.
        """
        lanes: dict[str, list[Step]] = {}
        for step in steps:  # sorted by uid, so that folders alternate
            lanes.setdefault(_lane(step), []).append(step)
        with ThreadPoolExecutor(self.server.settings.concurrency) as pool:
            list(pool.map(self._run_lane, lanes.values()))

    def _run_lane(self, steps: list[Step]) -> None:
        for step in steps:
            self._run_step(step)

    def _run_step(self, step: Step) -> None:
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
            self._record_unchanged(step)
        else:
            self._send(step)

    def _send(self, step: Step, retry: bool = True) -> None:
        assert step.payload is not None
        created = step.created or step.action == "create"
        pending = {"sent": step.payload.tree, "tree": step.next_base, "made": created}
        self.state.intend(step.key, pending)
        try:
            step.kind.send(self.server, step.payload)
        except GrafanaError as error:
            if not (error.stale and retry):
                raise
            new_step = self._replan(step)
            if new_step.action in ("create", "update"):
                self._send(new_step, retry=False)
            else:
                self._record_unchanged(new_step)
            return
        self._record(replace(step, created=created))
        self.outcome.done.append(step)

    def _replan(self, step: Step) -> Step:
        """Plan the step again, after somebody else changed the object in the meantime."""
        live = step.kind.read(self.server, [step.uid]).get(step.uid)
        last = self.state.load().get(step.key)
        return step_for(
            self.server,
            self.state,
            step.kind,
            live,
            last,
            desired=self.desired[step.key],
            force=self.force,
        )

    def _record_unchanged(self, step: Step) -> None:
        if step.failed is not None:
            raise step.failed
        if step.next_base is not None and not step.recorded:
            self._record(step)

    def _record(self, step: Step) -> None:
        content: dict[str, Any] = {"tree": step.next_base, "made": step.created}
        secrets = step.payload.secrets if step.payload else {}
        self.state.record(step.key, content, secrets)

    def _delete(self, step: Step) -> None:
        assert step.live is not None
        reason = self._blocked(step) or step.kind.delete(
            self.server, step.uid, step.live, step.next_base or {}
        )
        if reason is None:
            self.state.forget(step.key)
            self.outcome.done.append(step)
        else:
            self.outcome.retained.append((step, reason))

    def _blocked(self, step: Step) -> str | None:
        """The reason not to delete an object that a remaining one may use, or None.

        A rule without its data source alarms forever; without its contact point it notifies nobody.
        """
        if step.kind.name not in _USED:
            return None
        failed = {other.key for other, _ in self.outcome.failed}
        users = [
            f"{other.kind.name} {other.uid}"
            for other in self.outcome.plan.steps
            if other.kind.name in _USERS
            and other.key not in self.desired
            and other.action != "forget"
            and (other.action == "nothing" or other.key in failed)
        ]
        more = f" and {len(users) - _MAX_NAMED} more" if len(users) > _MAX_NAMED else ""
        return f"may still be used by {', '.join(users[:_MAX_NAMED])}{more}" if users else None


def _lane(step: Step) -> str:
    """The lane of a step; steps of one lane run one after another."""
    if step.kind.name not in ("rule", "rule_group"):
        return step.uid
    content = step.payload.tree if step.payload else (step.live or {})
    return str(content.get("folderUID", step.uid))
