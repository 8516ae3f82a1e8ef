"""The volume of windows, and of later ones that are compared with them: judged in any order, the
verdicts are the same."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from driftline.config.monitors import Monitors
from driftline.monitors.calibration import budget
from driftline.monitors.stream import volume
from driftline.monitors.stream.usual import Earlier, Lookback
from driftline.monitors.windows.judged_window import Fresh, row
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict
from driftline.storage.connection import Connection
from driftline.storage.monitoring import accepted_levels as accepted
from driftline.storage.monitoring import judged_windows, verdicts
from driftline.storage.monitoring.accepted_levels import Level
from driftline.storage.monitoring.verdicts import Known

_DAY = timedelta(days=1)
_NOTHING = Known("ok", None, "")  # was said, or it is no longer kept


def judge(
    connection: Connection,
    model: str,
    settings: Monitors,
    length: Length,
    mine: Sequence[Fresh],
) -> dict[datetime, list[Verdict]]:
    """Judge the volume of windows that were judged just now, and of those that look back at them.

    Args:
        length: of the windows.
        mine: those that were judged just now.

    Returns:
        The verdicts of all of them, by end.
    """
    fresh = {one.end for one in mine}
    step = max(_DAY, timedelta(seconds=-(-length.seconds // 86_400) * 86_400))
    rhythm = Rhythm(
        timedelta(seconds=length.seconds),
        step,
        settings.accept_after,
        budget.stream(settings, budget.VOLUME),
        accepted.levels(connection, model, "volume"),
    )
    since = min(fresh) - rhythm.lookback.total
    rows = judged_windows.at_times(connection, model, length.seconds, fresh, step=step, since=since)
    before = verdicts.known(connection, model, length.seconds, volume.NAME, sorted(rows))
    said: dict[datetime, list[Verdict]] = {}
    for times in _by_phase(sorted(rows), step):
        for end, verdict in rhythm.judge({t: rows[t] for t in times}, before, fresh).items():
            said[end] = [verdict]
            if before.get(end, _NOTHING).detail != verdict.detail:
                verdicts.say(
                    connection, model, length.seconds, end, [row(verdict)], monitor=volume.NAME
                )
    return said


@dataclass(frozen=True)
class Rhythm:
    """Judges the volume of windows of one length that end at one time of day.

    Attributes:
        length: of the windows.
        step: from one to the next.
        accept_after: alarms that last for so long are a new level.
        level: the false-alarm rate of one window.
        accepted: levels that people have accepted.
    """

    length: timedelta
    step: timedelta
    accept_after: timedelta
    level: float
    accepted: Sequence[Level] = ()

    @property
    def lookback(self) -> Lookback:
        """What a window is compared with."""
        span = volume.DAYS * self.step
        return Lookback(self.length, span, self.accept_after, self.accepted)

    def judge(
        self,
        rows: Mapping[datetime, int],
        before: Mapping[datetime, Known],
        fresh: Collection[datetime],
    ) -> dict[datetime, Verdict]:
        """Judge the windows of `fresh`, and later ones as long as one that they look at changes.

        Args:
            rows: of all windows, by end, in order.
            before: what was said of them.
        """
        past: list[Earlier] = []
        said: dict[datetime, Verdict] = {}
        changed: datetime | None = None
        lookback = self.lookback
        for end, count in rows.items():
            known = before.get(end, _NOTHING)
            if end in fresh or (changed is not None and end - changed <= lookback.total):
                said[end] = verdict = self._one(end, count, lookback.usual(past, end))
                changed = end if verdict.detail != known.detail else changed
                known = Known(verdict.status, verdict.threshold, verdict.detail)
            past.append(Earlier(end, float(count), count, known.status, known.threshold))
        return said

    def _one(self, end: datetime, count: int, usual: Sequence[Earlier]) -> Verdict:
        known = [one for one in usual if not self._disagrees(one, usual)][-volume.DAYS :]
        return self._compare(end, count, known)

    def _disagrees(self, one: Earlier, known: Sequence[Earlier]) -> bool:
        """Whether a window that was not tested is unlike the others: nothing is learned from it."""
        if one.status != "not_calibrated":
            return False
        others = [other for other in known if other is not one]
        return self._compare(one.end, one.rows, others).status == "alarm"

    def _compare(self, end: datetime, count: int, known: Sequence[Earlier]) -> Verdict:
        past = np.array([one.value for one in known])
        ago = np.array([(end - one.end).days for one in known], dtype=np.int64)
        return volume.judge(count, past, ago, self.level)


def _by_phase(ends: Sequence[datetime], step: timedelta) -> list[list[datetime]]:
    """The ends whose distances are whole steps, together."""
    seconds = int(step.total_seconds())
    found: dict[int, list[datetime]] = {}
    for end in ends:
        found.setdefault(int(end.timestamp()) % seconds, []).append(end)
    return list(found.values())
