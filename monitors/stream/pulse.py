"""What is judged by the real time, not by windows of events: arrivals, rejects, the registry.

Once a minute. A verdict is stored while it alarms, while its family has an incident, and when it
changes; a quiet stream leaves no rows.
"""

from datetime import datetime, timedelta

from driftline.config import Model
from driftline.monitoring import Monitors
from driftline.storage import arrivals, incidents, promotions, verdicts
from driftline.storage.connection import Connection
from monitors.calibration import budget
from monitors.running import schedule
from monitors.running.fresh import Fresh, row
from monitors.running.schedule import Length
from monitors.stream import no_traffic, registry_state, rejected
from monitors.verdict import Verdict

MINUTE = Length(60, 60, 60, columns=False)
REJECTS = Length(300, 300, 300, columns=False)  # how long messages are counted for rejects
_KNOWN = timedelta(days=7)  # how far back the registry's events are read
_A_WEEK = timedelta(days=7)
_QUIET = ("ok", "no_data")


def rejects_level(settings: Monitors) -> float:
    """The false-alarm rate of one look at the rejected messages."""
    looks = _A_WEEK / timedelta(seconds=REJECTS.step)
    return budget.REJECTED * settings.false_alarms_per_week / looks


class Pulse:
    """The real-time looks at one model.

    Parameters:
        name: the model's name in the config.
        model: its section.
    """

    def __init__(self, name: str, model: Model) -> None:
        self._name = name
        self._model = model
        self._at: datetime | None = None
        self._rejects_at: datetime | None = None
        self._said: dict[str, str] = {}

    def due(self, now: datetime) -> bool:
        """A minute has begun since it was looked at last."""
        return self._at is None or schedule.last_end(MINUTE, now) > self._at

    def judge(self, connection: Connection, now: datetime) -> list[Fresh]:
        """Look, and store what is worth it, in the caller's transaction."""
        self._at = schedule.last_end(MINUTE, now)
        found = [(MINUTE, self._at, self._registry(connection, now))]
        if self._model.monitors.no_traffic is not None:
            last = arrivals.last(connection, self._name)
            allowed = self._model.monitors.no_traffic
            found.append((MINUTE, self._at, no_traffic.judge(last, now, allowed)))
        end = schedule.last_end(REJECTS, now)
        if self._rejects_at is None or end > self._rejects_at:
            self._rejects_at = end
            found.append((REJECTS, end, self._rejected(connection, end)))
        opened = incidents.still_open(connection, self._name)
        return [
            self._store(connection, length, at, verdict)
            for length, at, verdict in found
            if verdict.family in opened
            or verdict.status not in _QUIET
            or self._said.get(verdict.monitor, "ok") not in _QUIET
        ]

    def _registry(self, connection: Connection, now: datetime) -> Verdict:
        return registry_state.judge(
            promotions.decisions(connection, self._name),
            promotions.moves_since(connection, self._name, now - _KNOWN),
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
    ) -> Fresh:
        self._said[verdict.monitor] = verdict.status
        verdicts.say(
            connection, self._name, length.seconds, end, [row(verdict)], monitor=verdict.monitor
        )
        return Fresh(end, length, verdict.rows, True, False, [verdict])
