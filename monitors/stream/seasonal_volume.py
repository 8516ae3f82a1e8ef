"""Judge the volume of windows, and of later ones that are compared with them. The verdicts do not
depend on the order in which windows are judged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from driftline.config.monitors import Monitors
from driftline.monitors.calibration import budget
from driftline.monitors.stream import volume
from driftline.monitors.stream.baseline import Earlier, Lookback
from driftline.monitors.windows.judged_window import JudgedWindow, row
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict
from driftline.storage.connection import Connection
from driftline.storage.monitoring import accepted_levels, judged_windows, verdicts
from driftline.storage.monitoring.accepted_levels import AcceptedLevel
from driftline.storage.monitoring.verdicts import WindowVerdict

_DAY = timedelta(days=1)
_NO_VERDICT = WindowVerdict("ok", None, "")  # none was stored, or it has expired


def judge(
    connection: Connection,
    model: str,
    settings: Monitors,
    length: Length,
    windows: Sequence[JudgedWindow],
) -> dict[datetime, list[Verdict]]:
    """Judge the volume of windows that were judged just now, and of those that depend on them.

    Parameters:
        length: of the windows.
        windows: those that were judged just now.

    Returns:
        The verdicts of all of them, by end.
    """
    ends = {window.end for window in windows}
    step = max(_DAY, timedelta(seconds=-(-length.seconds // 86_400) * 86_400))
    seasonal = SeasonalVolume(
        timedelta(seconds=length.seconds),
        step,
        settings.accept_after,
        budget.stream_level(settings, budget.VOLUME),
        accepted_levels.levels(connection, model, "volume"),
    )
    since = min(ends) - seasonal.lookback.total
    rows = judged_windows.at_times(connection, model, length.seconds, ends, step=step, since=since)
    stored = verdicts.window_verdicts(connection, model, length.seconds, volume.NAME, sorted(rows))
    judged: dict[datetime, list[Verdict]] = {}
    for times in _by_phase(sorted(rows), step):
        for end, verdict in seasonal.judge({t: rows[t] for t in times}, stored, ends).items():
            judged[end] = [verdict]
            if stored.get(end, _NO_VERDICT).detail != verdict.detail:
                verdicts.write_monitor(
                    connection, model, length.seconds, end, [row(verdict)], monitor=volume.NAME
                )
    return judged


@dataclass(frozen=True)
class SeasonalVolume:
    """Judges the volume of windows of one length that end at one time of day.

    Attributes:
        length: of the windows.
        step: from one to the next.
        accept_after: alarms that last at least this long are a new level.
        level: significance level of one window.
        accepted: levels that people have accepted.
    """

    length: timedelta
    step: timedelta
    accept_after: timedelta
    level: float
    accepted: Sequence[AcceptedLevel] = ()

    @property
    def lookback(self) -> Lookback:
        """Which windows one is compared with."""
        span = volume.DAYS * self.step
        return Lookback(self.length, span, self.accept_after, self.accepted)

    def judge(
        self,
        rows: Mapping[datetime, int],
        stored: Mapping[datetime, WindowVerdict],
        ends: Collection[datetime],
    ) -> dict[datetime, Verdict]:
        """Judge the windows of `ends`, and later ones while one that they depend on changes.

        Parameters:
            rows: of all windows, by end, in order.
            stored: their verdicts.
        """
        past: list[Earlier] = []
        judged: dict[datetime, Verdict] = {}
        changed: datetime | None = None
        lookback = self.lookback
        for end, count in rows.items():
            current = stored.get(end, _NO_VERDICT)
            if end in ends or (changed is not None and end - changed <= lookback.total):
                judged[end] = verdict = self._judge(end, count, lookback.baseline(past, end))
                changed = end if verdict.detail != current.detail else changed
                current = WindowVerdict(verdict.status, verdict.threshold, verdict.detail)
            past.append(Earlier(end, float(count), count, current.status, current.threshold))
        return judged

    def _judge(self, end: datetime, count: int, baseline: Sequence[Earlier]) -> Verdict:
        usable = [window for window in baseline if not self._disagrees(window, baseline)]
        return self._compare(end, count, usable[-volume.DAYS :])

    def _disagrees(self, window: Earlier, baseline: Sequence[Earlier]) -> bool:
        """Whether an untested window is unlike the others: then it is not learned from."""
        if window.status != "not_calibrated":
            return False
        remaining = [earlier for earlier in baseline if earlier is not window]
        return self._compare(window.end, window.rows, remaining).status == "alarm"

    def _compare(self, end: datetime, count: int, baseline: Sequence[Earlier]) -> Verdict:
        past = np.array([window.value for window in baseline])
        ago = np.array([(end - window.end).days for window in baseline], dtype=np.int64)
        return volume.judge(count, past, ago, self.level)


def _by_phase(ends: Sequence[datetime], step: timedelta) -> list[list[datetime]]:
    """Group the ends whose distances are whole steps."""
    seconds = int(step.total_seconds())
    by_phase: dict[int, list[datetime]] = {}
    for end in ends:
        by_phase.setdefault(int(end.timestamp()) % seconds, []).append(end)
    return list(by_phase.values())
