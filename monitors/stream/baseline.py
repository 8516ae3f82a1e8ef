"""Which earlier windows are the baseline: not those of a change, until it is the new normal.

A monitor that learned from all alarms would treat a change as normal after a few windows, and would
miss its end. A monitor that never learned from alarms would take the calm part of a stream for all
of it, and alarm more and more often. So there are two kinds of alarms:

- One or two in a row are outliers, as in any stream. They are learned from, but clipped to the
  limit at which the alarm begins: an outage of a day must not hide the next one.
- Three in a row are a change. Its windows are left out until a person accepts the new level
  (`driftline alerts accept`), or the alarms have continued for `monitors.accept_after` without a
  week in which there was none: from then on windows are compared with those since the change.

The baseline of a window depends on a bounded period before it, so that windows get the same
verdicts regardless of the order in which they are judged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from driftline import names
from driftline.storage.monitoring.accepted_levels import AcceptedLevel, latest_before

_LEARNING_MONITORS = ("volume", "version_against_version")
_CALM = timedelta(days=7)  # without an alarm: then the change has ended
_CHANGE = 3  # alarms in a row


class Earlier(NamedTuple):
    """An earlier window.

    Attributes:
        value: what the monitor measures.
        limit: of an alarm, the value at which it begins.
        status: of the monitor's verdict.
    """

    end: datetime
    value: float
    rows: int
    status: str
    limit: float | None = None


def learns_baseline(monitor: str) -> bool:
    """Whether a monitor compares windows with earlier ones, so that a level can be accepted.

    >>> learns_baseline("volume"), learns_baseline("realised_auc"), learns_baseline("omnibus")
    (True, True, False)
    """
    return monitor in _LEARNING_MONITORS or monitor.startswith(names.REALISED)


@dataclass(frozen=True)
class Lookback:
    """Which earlier windows a monitor reads, and which of them it compares with.

    Attributes:
        length: of the windows.
        span: of the baseline, while nothing changes.
        accept_after: alarms that last at least this long are a new level.
        accepted: levels that people accepted, in any order.
    """

    length: timedelta
    span: timedelta
    accept_after: timedelta
    accepted: Sequence[AcceptedLevel] = ()

    @property
    def total(self) -> timedelta:
        """How far before a window its verdict depends on."""
        return self._compared + self.accept_after + _CALM

    @property
    def _compared(self) -> timedelta:
        """Long enough to contain the span even when a change is about to be accepted."""
        return self.span + self.accept_after

    def baseline(self, past: Sequence[Earlier], end: datetime) -> list[Earlier]:
        """The windows that one ending at `end` is compared with, of all windows before it."""
        read = [window for window in past if window.end >= end - self.total]
        learned = learn(read, end, self.length, self.accept_after, self.accepted)
        return [window for window in learned if window.end >= end - self._compared]


def learn(
    past: Sequence[Earlier],
    end: datetime,
    length: timedelta,
    accept_after: timedelta,
    accepted: Sequence[AcceptedLevel] = (),
) -> list[Earlier]:
    """The windows that a later one is compared with; the values of outliers are their limits.

    Parameters:
        past: those before it, in order.
        end: of the window that is compared.
        length: of all of them.
        accept_after: alarms that last at least this long are a new level.
        accepted: levels that people accepted, in any order.

    >>> day, start = timedelta(days=1), datetime(2024, 1, 1)
    >>> statuses = ["ok"] * 3 + ["alarm"] + ["ok"] * 10 + ["alarm"] * 9
    >>> past = [Earlier(start + i * day, 9.0, 1, status, 5.0) for i, status in enumerate(statuses)]
    >>> [(w.end.day, w.value) for w in learn(past, start + 23 * day, day, 28 * day)][2:5]
    [(3, 9.0), (4, 5.0), (5, 9.0)]
    >>> [w.end.day for w in learn(past, start + 23 * day, day, 28 * day)]
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    >>> [w.end.day for w in learn(past, start + 23 * day, day, 8 * day)]
    [15, 16, 17, 18, 19, 20, 21, 22, 23]
    >>> [w.end.day for w in learn(past, start + 23 * day, day, 28 * day, [AcceptedLevel(
    ...     start + 15 * day, start + 19 * day)])]
    [17, 18, 19, 20]
    """
    level = latest_before(accepted, end)
    if level is not None:
        past = [
            window._replace(status="ok") if window.end <= level.until else window
            for window in past
            if window.end - length >= level.since
        ]
    baseline: list[Earlier] = []
    change: list[Earlier] = []  # from its first alarm on
    last_alarm: datetime | None = None
    for window in past:
        if window.status == "alarm":
            last_alarm = window.end
        elif last_alarm is not None and window.end - last_alarm >= _CALM:
            baseline += _clip_outliers(change)
            change, last_alarm = [], None
        (baseline if last_alarm is None else change).append(window)
        if change and window.end - change[0].end >= accept_after:
            baseline, change, last_alarm = change, [], None
    return baseline + _clip_outliers(change)


def _clip_outliers(windows: Sequence[Earlier]) -> list[Earlier]:
    clipped: list[Earlier] = []
    for alarms, group in groupby(windows, lambda window: window.status == "alarm"):
        run = list(group)
        if not alarms:
            clipped += run
        elif len(run) < _CHANGE and run[-1] is not windows[-1]:  # the last one may continue
            clipped += [
                window if window.limit is None else window._replace(value=window.limit)
                for window in run
            ]
    return clipped
