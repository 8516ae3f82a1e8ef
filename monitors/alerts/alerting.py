"""From verdicts to incidents: the only place with hysteresis.

An incident of a family opens when `fire` of the last `of` windows of one length alarm. It is
resolved after `resolve` windows in a row without an alarm, of every length that contributed.
Windows without rows do not count. A window in which a contributor's test is broken is not good,
because it was not tested.
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
from driftline.monitors.windows.judged_window import JudgedWindow
from driftline.storage.connection import Connection
from driftline.storage.monitoring import alerts, incidents, judged_windows, silences, verdicts
from driftline.storage.monitoring.alerts import Alert, State
from driftline.storage.monitoring.incidents import Content
from driftline.storage.monitoring.verdicts import Flags
from driftline.wording import counted

FAMILIES: tuple[Family, ...] = get_args(Family)

_Alarms = dict[Family, list[Contributor]]  # of one window


@dataclass
class _OpenIncident:
    number: int
    content: Content


class Alerting:
    """The alerts of one model.

    Parameters:
        name: the model's name in the config.
        model: its section.
        link: URL of the dashboards; None when there are none.
    """

    def __init__(self, name: str, model: Model, link: str | None = None) -> None:
        self._name = name
        self._model = model
        self._link = link

    def apply(self, connection: Connection, windows: Sequence[JudgedWindow]) -> None:
        """Update alerts and incidents by new verdicts, in the caller's transaction."""
        self._ensure_rows(connection)
        _Update(connection, self._name, self._model, self._link).apply(windows)
        silences.refresh(connection, self._name)

    def record_failure(self, connection: Connection, reason: str) -> None:
        """Show in the family `pipeline` that the model's round failed."""
        self._ensure_rows(connection)
        alerts.set_state(
            connection,
            self._name,
            PIPELINE,
            state="broken",
            severity=_severity(self._model, PIPELINE, ()),
            summary=f"windows could not be judged: {reason}",
        )

    def _ensure_rows(self, connection: Connection) -> None:
        severities = [(family, _severity(self._model, family, ())) for family in FAMILIES]
        alerts.ensure(connection, self._name, self._model.team, severities)


class _Update:
    """One update of a model's alerts, within one transaction.

    Attributes:
        incidents: the open incidents by family.
        history: by window length in seconds and family, what the windows that hysteresis counts
            reported, in order of their ends.
    """

    def __init__(self, connection: Connection, name: str, model: Model, link: str | None) -> None:
        self._connection = connection
        self._name = name
        self._model = model
        self._link = link
        self._hysteresis = model.monitors.hysteresis
        lengths = (*schedule.lengths(model), realtime_checks.MINUTE, realtime_checks.REJECTS)
        self._steps = {length.seconds: length.step for length in lengths}
        self.incidents = {
            family: _OpenIncident(incident.id, incident.content)
            for family, incident in incidents.unresolved(connection, name).items()
        }
        self.history: dict[int, dict[str, list[Flags]]] = {}

    def apply(self, windows: Sequence[JudgedWindow]) -> None:
        """Step through the windows in order, then store the state of every family."""
        ordered = sorted(windows, key=lambda window: (window.end, window.length.seconds))
        alarms = [{family: _alarms(family, window) for family in FAMILIES} for window in ordered]
        self.history = self._read_history(ordered, alarms)
        for window, by_family in zip(ordered, alarms, strict=True):
            for family in FAMILIES:
                self._step(family, window, by_family[family])
        for family in FAMILIES:
            if family in self.incidents and not self._lengths(self.incidents[family].content):
                self._resolve(family, "the config no longer monitors anything in it")
        self._store_states()

    def _read_history(
        self, windows: Sequence[JudgedWindow], alarms: Sequence[_Alarms]
    ) -> dict[int, dict[str, list[Flags]]]:
        """Flags from far enough back to apply the hysteresis to each of the windows."""
        configured = (window.seconds for window in self._model.monitors.windows)
        ends = judged_windows.last(self._connection, self._name, configured)
        families: dict[int, set[str]] = {}
        for family, incident in self.incidents.items():
            for seconds in self._lengths(incident.content):
                families.setdefault(seconds, set()).add(family)
                ends.setdefault(seconds, incident.content.last)
        for window, by_family in zip(windows, alarms, strict=True):
            seconds = window.length.seconds
            ends[seconds] = min(window.end, ends.get(seconds, window.end))
            alarming = {family for family, alarm in by_family.items() if alarm}
            families.setdefault(seconds, set()).update(alarming)
        return {
            seconds: verdicts.flags(
                self._connection,
                self._name,
                seconds,
                self._history_start(seconds, end, families.get(seconds, ())),
            )
            for seconds, end in ends.items()
        }

    def _history_start(self, seconds: int, end: datetime, families: Iterable[str]) -> datetime:
        """Where enough windows with rows lie before `end`, however rare these are."""
        n = max(self._hysteresis.of, self._hysteresis.resolve)
        starts = (
            verdicts.nth_newest_end(self._connection, self._name, seconds, family, until=end, n=n)
            for family in families
        )
        recent = end - timedelta(seconds=self._steps[seconds] * 2 * n)
        return min([recent, *(start for start in starts if start is not None)])

    def _step(self, family: Family, window: JudgedWindow, alarms: list[Contributor]) -> None:
        """Open, update or resolve the incident of a family by one window."""
        incident = self.incidents.get(family)
        if incident is not None:
            if alarms:
                self._extend(family, incident, alarms, window)
            elif self._is_over(family, incident.content, window):
                self._resolve(family, self._reason(incident.content))
            return
        flags = _until(self.history[window.length.seconds].get(family, ()), window.end)
        alarmed = [flag.end for flag in flags[-self._hysteresis.of :] if flag.alarm]
        if alarms and window.may_open and len(alarmed) >= self._hysteresis.fire:
            since = alarmed[0] - timedelta(seconds=window.length.seconds)
            self._open(family, since, window.end, alarms)

    def _is_over(self, family: Family, content: Content, window: JudgedWindow) -> bool:
        """Whether the last windows of every length that contributed are good."""
        lengths = self._lengths(content)
        until = max(window.end, content.last)
        return window.length.seconds in lengths and all(
            self._is_good(family, content, seconds, until) for seconds in lengths
        )

    def _is_good(self, family: Family, content: Content, seconds: int, until: datetime) -> bool:
        """Whether the last windows of one length have no alarm, and tested what contributed."""
        history, required = self.history[seconds], self._hysteresis.resolve
        recent = _until(history.get(family, ()), until)[-required:]
        if len(recent) < required or any(flag.alarm for flag in recent):
            return False
        # all verdicts of a window are read only if one of them failed: there are thousands
        failed = {flag.end for flag in history.get(PIPELINE, ()) if flag.alarm}
        suspects = (
            verdicts.of_window(self._connection, self._name, seconds, flag.end)
            for flag in recent
            if flag.end in failed
        )
        ranked = content.contributors
        return not any(contributors.untested(ranked, family, seconds, rows) for rows in suspects)

    def _lengths(self, content: Content) -> set[int]:
        """The window lengths that contributed and are still judged."""
        checks_traffic = self._model.monitors.no_traffic is not None
        return {
            contributor["window_seconds"]
            for contributor in content.contributors
            if contributor["window_seconds"] in self._steps
            and (checks_traffic or contributor["monitor"] != no_traffic.NAME)
        }

    def _open(
        self, family: Family, since: datetime, last: datetime, alarms: list[Contributor]
    ) -> None:
        ranked = contributors.merge((), alarms)
        content = self._content(family, self._severity(family, ranked), since, last, ranked)
        number = incidents.start(self._connection, self._name, family, content)
        self.incidents[family] = _OpenIncident(number, content)
        self._notify(family, "fired")

    def _extend(
        self,
        family: Family,
        incident: _OpenIncident,
        alarms: list[Contributor],
        window: JudgedWindow,
    ) -> None:
        """Add alarms to an open incident; notify only if it becomes a page or a column joins."""
        previous = incident.content
        ranked = contributors.merge(previous.contributors, alarms)
        since = min(previous.since, window.end - timedelta(seconds=window.length.seconds))
        severity = self._severity(family, ranked)
        severity = "page" if "page" in (previous.severity, severity) else "ticket"
        last = max(previous.last, window.end)
        incident.content = self._content(family, severity, since, last, ranked)
        incidents.update(self._connection, incident.number, incident.content)
        if severity != previous.severity or contributors.joined(previous.contributors, ranked):
            self._notify(family, "changed", previous)

    def _resolve(self, family: Family, resolution: str) -> None:
        incident = self.incidents.pop(family)
        incidents.resolve(self._connection, incident.number, resolution)
        message = messages.resolved(
            self._name, incident.number, family, incident.content, resolution, link=self._link
        )
        messages.send(self._connection, incident.number, "resolved", message)

    def _reason(self, content: Content) -> str:
        lengths = " and ".join(map(messages.length, sorted(self._lengths(content))))
        windows = counted(self._hysteresis.resolve, "window")
        return f"{windows} of {lengths} in a row without an alarm"

    def _content(
        self,
        family: Family,
        severity: Severity,
        since: datetime,
        last: datetime,
        ranked: Sequence[Contributor],
    ) -> Content:
        # fixed limits, objectives and Evidently's tests are not part of the false-alarm budget
        budgeted = all(item.get("level") and not item["provisional"] for item in ranked)
        return Content(
            severity=severity,
            version=next((item["version"] for item in ranked if item["version"]), None),
            since=since,
            last=last,
            summary=contributors.summary(family, ranked),
            contributors=ranked,
            false_alarms_per_week=self._model.monitors.false_alarms_per_week if budgeted else None,
        )

    def _severity(self, family: Family, ranked: Sequence[Contributor]) -> Severity:
        return _severity(self._model, family, ranked, costly="performance" in self.incidents)

    def _notify(self, family: Family, kind: messages.Kind, previous: Content | None = None) -> None:
        incident = self.incidents[family]
        message = messages.write(
            *(self._name, self._model, incident.number, family, incident.content),
            kind=kind,
            previous=previous,
            link=self._link,
        )
        messages.send(self._connection, incident.number, kind, message)

    def _store_states(self) -> None:
        stored = {alert.family: alert for alert in alerts.read(self._connection, self._name)}
        for family in FAMILIES:
            newest = [flags[-1] for by in self.history.values() if (flags := by.get(family))]
            state, previous = self._state(family, newest), stored.get(family)
            if state == "no_data" and not newest and previous is not None:
                # labels are delayed: the newest windows have not been measured yet
                state = previous.state if previous.state in ("ok", "pending") else state
            self._store(family, state, previous)

    def _state(self, family: Family, newest: Sequence[Flags]) -> State:
        if family in self.incidents:
            return "firing"
        if any(flag.broken for flag in newest):
            return "broken"
        n = self._hysteresis.of
        recent = (_last(by_family.get(family), n) for by_family in self.history.values())
        if any(flag.alarm for flags in recent for flag in flags):
            return "pending"
        if family == PIPELINE:  # the round itself succeeded
            return "ok"
        return "no_data" if all(flag.empty for flag in newest) else "ok"

    def _store(self, family: Family, state: State, previous: Alert | None) -> None:
        """Write the alert of a family if anything in it has changed."""
        incident = self.incidents.get(family)
        content = None if incident is None else incident.content
        severity = _severity(self._model, family, ()) if content is None else content.severity
        number = None if incident is None else incident.number
        columns = ", ".join(contributors.columns(() if content is None else content.contributors))
        summary = "" if content is None else content.summary
        if previous is not None and (state, severity, number, columns, summary) == (
            *(previous.state, previous.severity, previous.incident_id),
            *(previous.columns, previous.summary),
        ):
            return
        alerts.set_state(
            self._connection,
            self._name,
            family,
            state=state,
            severity=severity,
            incident_id=number,
            version=None if content is None else content.version,
            columns=columns,
            summary=summary,
        )


def _severity(
    model: Model, family: Family, ranked: Sequence[Contributor], *, costly: bool = False
) -> Severity:
    """A page for families that page, and for drift while performance is bad; alarms that were
    judged only by a declared variation are never pages."""
    if ranked and all(item["provisional"] for item in ranked):
        return "ticket"
    pages = family in model.monitors.page or (family == "drift" and costly)
    return "page" if pages else "ticket"


def _alarms(family: Family, window: JudgedWindow) -> list[Contributor]:
    """What alarms in a window; in the family `pipeline`, the monitors that failed."""
    if family == PIPELINE:
        return contributors.failed(window.verdicts, window.length.seconds)
    own = (verdict for verdict in window.verdicts if verdict.family == family)
    return contributors.alarmed(own, window.length.seconds)


def _until(flags: Sequence[Flags], end: datetime) -> Sequence[Flags]:
    """The windows that end at `end` or before and that had something to judge."""
    place = bisect_right(flags, end, key=lambda flag: flag.end)
    return [flag for flag in flags[:place] if not flag.empty]


def _last(flags: Sequence[Flags] | None, n: int) -> Sequence[Flags]:
    return [flag for flag in flags or () if not flag.empty][-n:]
