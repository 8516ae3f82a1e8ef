"""What is judged by the real time, not by windows of events: arrivals, rejects, the registry.

Once a minute. A verdict is stored while it alarms, while its family has an incident, and when it
changes; a quiet stream leaves no rows.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from driftline.config import Model
from driftline.config.monitors import Monitors
from driftline.monitors.calibration import budget
from driftline.monitors.stream import no_traffic, registry_state, rejected
from driftline.monitors.windows import schedule
from driftline.monitors.windows.judged_window import Fresh, row
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict
from driftline.storage.connection import Connection
from driftline.storage.log import arrivals
from driftline.storage.monitoring import incidents, verdicts
from driftline.storage.versions import promotions

MINUTE = Length(60, 60, 60, columns=False)
REJECTS = Length(300, 300, 300, columns=False)  # how long messages are counted for rejects
_KNOWN = timedelta(days=7)  # how far back the registry's events are read
_A_WEEK = timedelta(days=7)
_QUIET = ("ok", "no_data")


def rejects_level(settings: Monitors) -> float:
    """The false-alarm rate of one look at the rejected messages."""
    looks = _A_WEEK / timedelta(seconds=REJECTS.step)
    return budget.REJECTED * settings.false_alarms_per_week / looks


@dataclass
class _Seen:
    """When was looked last, and what was said then."""

    at: datetime | None = None
    rejects_at: datetime | None = None
    said: dict[str, str] = field(default_factory=dict)


class Pulse:
    """The real-time looks at one model.

    Parameters:
        name: the model's name in the config.
        model: its section.
    """

    def __init__(self, name: str, model: Model) -> None:
        self._name = name
        self._model = model
        self._kept = _Seen()
        self._seen = self._kept

    def due(self, now: datetime) -> bool:
        """A minute has begun since it was looked at last."""
        return self._kept.at is None or schedule.last_end(MINUTE, now) > self._kept.at

    def keep(self) -> None:
        """The transaction of the last look has committed: without this it is looked at again."""
        self._kept = self._seen

    def judge(self, connection: Connection, now: datetime) -> list[Fresh]:
        """Look, and store what is worth it, in the caller's transaction."""
        minute = schedule.last_end(MINUTE, now)
        before = self._kept
        self._seen = replace(before, at=minute, said=dict(before.said))
        found = [(MINUTE, minute, self._registry(connection, now))]
        if self._model.monitors.no_traffic is not None:
            last = arrivals.last(connection, self._name)
            allowed = self._model.monitors.no_traffic
            found.append((MINUTE, minute, no_traffic.judge(last, now, allowed)))
        end = schedule.last_end(REJECTS, now)
        if before.rejects_at is None or end > before.rejects_at:
            self._seen.rejects_at = end
            found.append((REJECTS, end, self._rejected(connection, end)))
        opened = incidents.still_open(connection, self._name)
        return [
            self._store(connection, length, at, verdict)
            for length, at, verdict in found
            if verdict.family in opened
            or verdict.status not in _QUIET
            or before.said.get(verdict.monitor, "ok") not in _QUIET
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
        self._seen.said[verdict.monitor] = verdict.status
        verdicts.say(
            connection, self._name, length.seconds, end, [row(verdict)], monitor=verdict.monitor
        )
        return Fresh(end, length, verdict.rows, True, False, [verdict])
