"""Checks by the wall clock, not by windows of events: arrivals, rejected messages, the registry.

They run once a minute. A verdict is stored while it alarms, while its family has an incident, and
when it changes; a stream without problems stores no rows.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from driftline.config import Model
from driftline.config.monitors import Monitors
from driftline.monitors.calibration import budget
from driftline.monitors.stream import no_traffic, registry_state, rejected
from driftline.monitors.windows import schedule
from driftline.monitors.windows.judged_window import JudgedWindow, row
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict
from driftline.storage.connection import Connection
from driftline.storage.log import arrivals
from driftline.storage.monitoring import incidents, verdicts
from driftline.storage.versions import promotions

MINUTE = Length(60, 60, 60, columns=False)
REJECTS = Length(300, 300, 300, columns=False)  # rejected messages are counted this long
_REGISTRY_HISTORY = timedelta(days=7)
_WEEK = timedelta(days=7)
_QUIET = ("ok", "no_data")


def rejects_level(settings: Monitors) -> float:
    """Significance level of one test of the rejected messages."""
    tests = _WEEK / timedelta(seconds=REJECTS.step)
    return budget.REJECTED * settings.false_alarms_per_week / tests


@dataclass
class _LastRun:
    """When the checks last ran, and the status of each monitor then."""

    at: datetime | None = None
    rejects_at: datetime | None = None
    statuses: dict[str, str] = field(default_factory=dict)


class RealtimeChecks:
    """The real-time checks of one model.

    Parameters:
        name: the model's name in the config.
        model: its section.
    """

    def __init__(self, name: str, model: Model) -> None:
        self._name = name
        self._model = model
        self._committed = _LastRun()
        self._current = self._committed

    def due(self, now: datetime) -> bool:
        """Whether a minute has begun since the last run."""
        return self._committed.at is None or schedule.last_end(MINUTE, now) > self._committed.at

    def commit(self) -> None:
        """The transaction of the last run was committed; otherwise its checks run again."""
        self._committed = self._current

    def judge(self, connection: Connection, now: datetime) -> list[JudgedWindow]:
        """Run the checks that are due and store their verdicts, in the caller's transaction."""
        minute = schedule.last_end(MINUTE, now)
        previous = self._committed
        self._current = replace(previous, at=minute, statuses=dict(previous.statuses))
        checks = [(MINUTE, minute, self._registry(connection, now))]
        if self._model.monitors.no_traffic is not None:
            last = arrivals.last(connection, self._name)
            allowed = self._model.monitors.no_traffic
            checks.append((MINUTE, minute, no_traffic.judge(last, now, allowed)))
        end = schedule.last_end(REJECTS, now)
        if previous.rejects_at is None or end > previous.rejects_at:
            self._current.rejects_at = end
            checks.append((REJECTS, end, self._rejected(connection, end)))
        open_incidents = incidents.unresolved(connection, self._name)
        return [
            self._store(connection, length, at, verdict)
            for length, at, verdict in checks
            if verdict.family in open_incidents
            or verdict.status not in _QUIET
            or previous.statuses.get(verdict.monitor, "ok") not in _QUIET
        ]

    def _registry(self, connection: Connection, now: datetime) -> Verdict:
        return registry_state.judge(
            promotions.decisions(connection, self._name),
            promotions.alias_moves_since(connection, self._name, now - _REGISTRY_HISTORY),
            promotions.quarantines(connection, self._name),
            now,
        )

    def _rejected(self, connection: Connection, end: datetime) -> Verdict:
        since = end - timedelta(seconds=REJECTS.seconds)
        arrived = arrivals.since(connection, self._name, since, end)
        settings = self._model.monitors
        return rejected.judge(
            arrived.rejected, arrived.messages, settings.rejected, rejects_level(settings)
        )

    def _store(
        self, connection: Connection, length: Length, end: datetime, verdict: Verdict
    ) -> JudgedWindow:
        self._current.statuses[verdict.monitor] = verdict.status
        verdicts.write_monitor(
            connection, self._name, length.seconds, end, [row(verdict)], monitor=verdict.monitor
        )
        return JudgedWindow(end, length, verdict.rows, True, False, [verdict])
