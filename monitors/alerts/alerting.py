"""From verdicts to incidents: the one place where hysteresis lives.

A family fires when so many of the last windows of one length alarm, and ends when so many in a row
do not, of every length that contributed. Windows without rows count neither way; one in which a
look that contributed is broken is not good, as nobody has looked.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

from driftline.config import Model
from driftline.config.monitors import PIPELINE, Family, Severity
from driftline.monitors.alerts import contributors, messages
from driftline.monitors.alerts.contributors import Contributor
from driftline.monitors.stream import no_traffic, realtime_checks
from driftline.monitors.windows import schedule
from driftline.monitors.windows.judged_window import Fresh
from driftline.storage.connection import Connection
from driftline.storage.monitoring import alerts, incidents, judged_windows, silences, verdicts
from driftline.storage.monitoring.alerts import Alert, State
from driftline.storage.monitoring.incidents import Content
from driftline.storage.monitoring.verdicts import Flags
from driftline.wording import counted

FAMILIES: tuple[Family, ...] = get_args(Family)

_Look = tuple[Fresh, dict[Family, list[Contributor]]]  # a window, and what alarms in it


@dataclass
class _Open:
    """An incident while it is folded over windows."""

    number: int
    content: Content


class Alerting:
    """The alerts of one model.

    Parameters:
        name: the model's name in the config.
        model: its section.
        link: address of a page with dashboards; None when there is none.
    """

    def __init__(self, name: str, model: Model, link: str | None = None) -> None:
        self._name = name
        self._model = model
        self._link = link
        rule = model.monitors.hysteresis
        self._need = max(rule.of, rule.resolve)
        judged_at = (*schedule.lengths(model), realtime_checks.MINUTE, realtime_checks.REJECTS)
        self._steps = {length.seconds: length.step for length in judged_at}

    def apply(self, connection: Connection, fresh: Sequence[Fresh]) -> None:
        """Move the alerts by windows that were judged just now, in the caller's transaction."""
        severities = [(family, self._severity(family, ())) for family in FAMILIES]
        alerts.ensure(connection, self._name, self._model.team, severities)
        opened = {
            family: _Open(one.id, one.content)
            for family, one in incidents.still_open(connection, self._name).items()
        }
        looks = [
            (one, {family: _alarms(family, one) for family in FAMILIES})
            for one in sorted(fresh, key=lambda f: (f.end, f.length.seconds))
        ]
        past = self._past(connection, looks, opened)
        for look in looks:
            for family in FAMILIES:
                self._step(connection, family, look, past, opened)
        for family in FAMILIES:
            if family in opened and not self._lengths(opened[family].content):
                reason = "the config no longer judges what had alarmed"
                self._resolve(connection, family, opened.pop(family), reason)
        self._states(connection, past, opened)
        silences.refresh(connection, self._name)

    def broken(self, connection: Connection, why: str) -> None:
        """The model's round failed: said in the family that stands for driftline itself."""
        severities = [(family, self._severity(family, ())) for family in FAMILIES]
        alerts.ensure(connection, self._name, self._model.team, severities)
        alerts.put(
            connection,
            self._name,
            PIPELINE,
            state="broken",
            severity=self._severity(PIPELINE, ()),
            summary=f"windows can't be judged: {why}",
        )

    def _past(
        self, connection: Connection, looks: Sequence[_Look], opened: dict[str, _Open]
    ) -> dict[int, dict[str, list[Flags]]]:
        """By length and family, the windows that the rules look at, in order."""
        configured = (window.seconds for window in self._model.monitors.windows)
        ends = judged_windows.last(connection, self._name, configured)
        families: dict[int, set[str]] = {}
        for family, current in opened.items():
            for seconds in self._lengths(current.content):
                families.setdefault(seconds, set()).add(family)
                ends.setdefault(seconds, current.content.last)
        for one, alarms in looks:
            seconds = one.length.seconds
            ends[seconds] = min(one.end, ends.get(seconds, one.end))
            alarming = {family for family, found in alarms.items() if found}
            families.setdefault(seconds, set()).update(alarming)
        return {
            seconds: verdicts.flags(
                connection,
                self._name,
                seconds,
                self._since(connection, seconds, end, families.get(seconds, ())),
            )
            for seconds, end in ends.items()
        }

    def _since(
        self, connection: Connection, seconds: int, end: datetime, families: Iterable[str]
    ) -> datetime:
        """From where on there are enough windows with rows before `end`, however rare these are,
        of the families for which it matters."""
        reached = (
            verdicts.reaching(connection, self._name, seconds, family, until=end, n=self._need)
            for family in families
        )
        lately = end - timedelta(seconds=self._steps[seconds] * 2 * self._need)
        return min([lately, *(since for since in reached if since is not None)])

    def _step(
        self,
        connection: Connection,
        family: Family,
        look: _Look,
        past: dict[int, dict[str, list[Flags]]],
        opened: dict[str, _Open],
    ) -> None:
        one, alarms = look[0], look[1][family]
        current = opened.get(family)
        if current is not None:
            if alarms:
                costly = "performance" in opened
                self._grow(connection, family, current, alarms, one, costly=costly)
            elif self._over(connection, family, current, one, past):
                self._resolve(connection, family, current, self._good_windows(current.content))
                del opened[family]
            return
        seen = _until(past[one.length.seconds].get(family, ()), one.end)
        rule = self._model.monitors.hysteresis
        alarmed = [f.end for f in seen[-rule.of :] if f.alarm]
        if alarms and one.may_open and len(alarmed) >= rule.fire:
            since = alarmed[0] - timedelta(seconds=one.length.seconds)
            span = since, one.end
            opened[family] = self._start(connection, family, span, alarms, opened)

    def _over(
        self,
        connection: Connection,
        family: Family,
        current: _Open,
        one: Fresh,
        past: dict[int, dict[str, list[Flags]]],
    ) -> bool:
        """Whether the last windows of every length that contributed are good."""
        lengths = self._lengths(current.content)
        until = max(one.end, current.content.last)
        return one.length.seconds in lengths and all(
            self._good(connection, family, current, past[seconds], seconds=seconds, until=until)
            for seconds in lengths
        )

    def _good(
        self,
        connection: Connection,
        family: Family,
        current: _Open,
        past: dict[str, list[Flags]],
        *,
        seconds: int,
        until: datetime,
    ) -> bool:
        """Whether the last windows of one length are: no alarm, and what contributed was seen."""
        wanted = self._model.monitors.hysteresis.resolve
        recent = _until(past.get(family, ()), until)[-wanted:]
        if len(recent) < wanted or any(f.alarm for f in recent):
            return False
        # all looks of a window are read only where one of them failed
        failed = {f.end for f in past.get(PIPELINE, ()) if f.alarm}
        suspects = (
            verdicts.of_window(connection, self._name, seconds, f.end)
            for f in recent
            if f.end in failed
        )
        ranked = current.content.contributors
        return not any(contributors.unseen(ranked, family, seconds, said) for said in suspects)

    def _lengths(self, content: Content) -> set[int]:
        """The lengths that contributed and are still judged."""
        watched = self._model.monitors.no_traffic is not None
        return {
            one["window_seconds"]
            for one in content.contributors
            if one["window_seconds"] in self._steps
            and (watched or one["monitor"] != no_traffic.NAME)
        }

    def _start(
        self,
        connection: Connection,
        family: Family,
        span: tuple[datetime, datetime],
        alarms: list[Contributor],
        opened: dict[str, _Open],
    ) -> _Open:
        ranked = contributors.merge((), alarms)
        severity = self._severity(family, ranked, costly="performance" in opened)
        content = self._filled(family, severity, *span, ranked)
        number = incidents.start(connection, self._name, family, content)
        self._tell(connection, number, family, content, "fired")
        return _Open(number, content)

    def _grow(
        self,
        connection: Connection,
        family: Family,
        current: _Open,
        alarms: list[Contributor],
        one: Fresh,
        *,
        costly: bool,
    ) -> None:
        """More alarms of what is open already; told again only when it became more severe, or
        when a column joined."""
        before = current.content
        ranked = contributors.merge(before.contributors, alarms)
        since = min(before.since, one.end - timedelta(seconds=one.length.seconds))
        severity = self._severity(family, ranked, costly=costly)
        severity = "page" if "page" in (before.severity, severity) else "ticket"
        content = self._filled(family, severity, since, max(before.last, one.end), ranked)
        incidents.update(connection, current.number, content)
        current.content = content
        if severity != before.severity or contributors.joined(before.contributors, ranked):
            self._tell(connection, current.number, family, content, "changed", before=before)

    def _resolve(
        self, connection: Connection, family: Family, current: _Open, resolution: str
    ) -> None:
        incidents.resolve(connection, current.number, resolution)
        message = messages.resolved(
            self._name, current.number, family, current.content, resolution, link=self._link
        )
        messages.send(connection, current.number, "resolved", message)

    def _good_windows(self, content: Content) -> str:
        lengths = " and ".join(map(messages.length, sorted(self._lengths(content))))
        windows = counted(self._model.monitors.hysteresis.resolve, "window")
        return f"{windows} of {lengths} in a row without an alarm"

    def _filled(
        self,
        family: Family,
        severity: Severity,
        since: datetime,
        last: datetime,
        ranked: Sequence[Contributor],
    ) -> Content:
        # a fixed limit, an objective and Evidently's tests are no part of the budget
        known = all(one.get("level") and not one["provisional"] for one in ranked)
        return Content(
            severity=severity,
            version=next((one["version"] for one in ranked if one["version"]), None),
            since=since,
            last=last,
            summary=contributors.summary(family, ranked),
            contributors=ranked,
            false_per_week=self._model.monitors.false_alarms_per_week if known else None,
        )

    def _severity(
        self, family: Family, ranked: Iterable[Contributor], *, costly: bool = False
    ) -> Severity:
        """A page for families that page, and for drift that costs performance; what was only
        judged by a declared variation never pages."""
        looks = list(ranked)
        if looks and all(one["provisional"] for one in looks):
            return "ticket"
        pages = family in self._model.monitors.page or (family == "drift" and costly)
        return "page" if pages else "ticket"

    def _tell(
        self,
        connection: Connection,
        number: int,
        family: Family,
        content: Content,
        kind: messages.Kind,
        *,
        before: Content | None = None,
    ) -> None:
        message = messages.write(
            *(self._name, self._model, number, family, content),
            kind=kind,
            before=before,
            link=self._link,
        )
        messages.send(connection, number, kind, message)

    def _states(
        self,
        connection: Connection,
        past: dict[int, dict[str, list[Flags]]],
        opened: dict[str, _Open],
    ) -> None:
        before = {one.family: one for one in alerts.of(connection, self._name)}
        for family in FAMILIES:
            newest = [seen[family][-1] for seen in past.values() if seen.get(family)]
            state = self._state(family, newest, past, firing=family in opened)
            known = before.get(family)
            if state == "no_data" and not newest and known and known.state in ("ok", "pending"):
                state = known.state  # labels come late: the newest windows were not judged yet
            self._put(connection, family, state, opened.get(family), known)

    def _state(
        self,
        family: Family,
        newest: Sequence[Flags],
        past: dict[int, dict[str, list[Flags]]],
        *,
        firing: bool,
    ) -> State:
        if firing:
            return "firing"
        if any(f.broken for f in newest):
            return "broken"
        of = self._model.monitors.hysteresis.of
        pending = any(f.alarm for seen in past.values() for f in _recent(seen.get(family), of))
        if pending:
            return "pending"
        if family == PIPELINE:  # the round itself succeeded
            return "ok"
        return "no_data" if all(f.empty for f in newest) else "ok"

    def _put(
        self,
        connection: Connection,
        family: Family,
        state: State,
        current: _Open | None,
        before: Alert | None,
    ) -> None:
        content = None if current is None else current.content
        severity = self._severity(family, ()) if content is None else content.severity
        ranked = () if content is None else content.contributors
        columns = ", ".join(contributors.columns(ranked))
        summary = "" if content is None else content.summary
        number = None if current is None else current.number
        wanted = (state, severity, number, columns, summary)
        if before is not None and wanted == (
            *(before.state, before.severity, before.incident_id),
            *(before.columns, before.summary),
        ):
            return
        alerts.put(
            connection,
            self._name,
            family,
            state=state,
            severity=severity,
            incident_id=number,
            version=None if content is None else content.version,
            columns=columns,
            summary=summary,
        )


def _alarms(family: Family, one: Fresh) -> list[Contributor]:
    """What alarms in a window: of driftline itself, the monitors that failed."""
    if family == PIPELINE:
        return contributors.failed(one.verdicts, one.length.seconds)
    own = (verdict for verdict in one.verdicts if verdict.family == family)
    return contributors.of(own, one.length.seconds)


def _until(flags: Sequence[Flags], end: datetime) -> Sequence[Flags]:
    """The windows that end at `end` or before and that had something to judge."""
    place = bisect_right(flags, end, key=lambda one: one.end)
    return [one for one in flags[:place] if not one.empty]


def _recent(flags: Sequence[Flags] | None, n: int) -> Sequence[Flags]:
    return [one for one in flags or () if not one.empty][-n:]
