"""Which earlier windows say what is usual: not those of a change, until it is what is usual.

A monitor that learned from what it alarmed on would call a change usual after a few windows, and
would not see it end. A monitor that learned nothing from alarms would take the calm part of a
stream for all of it, and alarm ever more often. So alarms are of two kinds:

- One or two in a row are outliers, as any stream has them. They are learned from, but count as no
  farther off than where the alarm begins: an outage of a day must not hide the next one.
- Three in a row are a change. Its windows are left out, until a person accepts the new level
  (`driftline alerts accept`), or the alarms have lasted for `monitors.accept_after` without a week
  free of them: from then on windows are compared with those since the change.

What a window is compared with follows from a bounded stretch before it, so that windows that are
judged in any order get the same verdicts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from driftline import names
from driftline.storage.monitoring.accepted_levels import Level, before

_LEARNING = ("volume", "version_against_version")
_CALM = timedelta(days=7)  # without an alarm: the change is over
_CHANGE = 3  # alarms in a row


class Earlier(NamedTuple):
    """An earlier window.

    Attributes:
        value: what the monitor measures.
        limit: of an alarm, the value from which on it alarms.
        status: of the monitor's verdict.
    """

    end: datetime
    value: float
    rows: int
    status: str
    limit: float | None = None


def learns(monitor: str) -> bool:
    """Whether a monitor compares windows with earlier ones, so that a person can accept a level.

    >>> learns("volume"), learns("realised_auc"), learns("omnibus")
    (True, True, False)
    """
    return monitor in _LEARNING or monitor.startswith(names.REALISED)


@dataclass(frozen=True)
class Lookback:
    """Which earlier windows a monitor reads, and which of them it compares with.

    Attributes:
        length: of the windows.
        span: of what is compared, while nothing changes.
        accept_after: alarms that last for so long are a new level.
        accepted: levels of people, in any order.
    """

    length: timedelta
    span: timedelta
    accept_after: timedelta
    accepted: Sequence[Level] = ()

    @property
    def total(self) -> timedelta:
        """How far before a window its verdict looks."""
        return self._compared + self.accept_after + _CALM

    @property
    def _compared(self) -> timedelta:
        """The span is still there when a change has lasted until it is accepted."""
        return self.span + self.accept_after

    def usual(self, past: Sequence[Earlier], end: datetime) -> list[Earlier]:
        """What a window that ends at `end` is compared with, of all windows before it."""
        read = [one for one in past if one.end >= end - self.total]
        found = learned(read, end, self.length, self.accept_after, self.accepted)
        return [one for one in found if one.end >= end - self._compared]


def learned(
    past: Sequence[Earlier],
    end: datetime,
    length: timedelta,
    accept_after: timedelta,
    accepted: Sequence[Level] = (),
) -> list[Earlier]:
    """The windows that a later one is compared with; of outliers the limit is the value.

    Args:
        past: those before it, in order.
        end: of the window that is compared.
        length: of all of them.
        accept_after: alarms that go on for so long are a new level.
        accepted: levels of people, in any order.

    >>> day, start = timedelta(days=1), datetime(2024, 1, 1)
    >>> said = ["ok"] * 3 + ["alarm"] + ["ok"] * 10 + ["alarm"] * 9
    >>> past = [Earlier(start + i * day, 9.0, 1, status, 5.0) for i, status in enumerate(said)]
    >>> [(one.end.day, one.value) for one in learned(past, start + 23 * day, day, 28 * day)][2:5]
    [(3, 9.0), (4, 5.0), (5, 9.0)]
    >>> [one.end.day for one in learned(past, start + 23 * day, day, 28 * day)]
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    >>> [one.end.day for one in learned(past, start + 23 * day, day, 8 * day)]
    [15, 16, 17, 18, 19, 20, 21, 22, 23]
    >>> [one.end.day for one in learned(past, start + 23 * day, day, 28 * day, [Level(
    ...     start + 15 * day, start + 19 * day)])]
    [17, 18, 19, 20]
    """
    level = before(accepted, end)
    if level is not None:
        past = [
            one._replace(status="ok") if one.end <= level.until else one
            for one in past
            if one.end - length >= level.since
        ]
    usual: list[Earlier] = []
    change: list[Earlier] = []  # from its first alarm on
    last_alarm: datetime | None = None
    for one in past:
        if one.status == "alarm":
            last_alarm = one.end
        elif last_alarm is not None and one.end - last_alarm >= _CALM:
            usual += _without_changes(change)
            change, last_alarm = [], None
        (usual if last_alarm is None else change).append(one)
        if change and one.end - change[0].end >= accept_after:
            usual, change, last_alarm = change, [], None
    return usual + _without_changes(change)


def _without_changes(windows: Sequence[Earlier]) -> list[Earlier]:
    found: list[Earlier] = []
    for alarms, group in groupby(windows, lambda one: one.status == "alarm"):
        run = list(group)
        if not alarms:
            found += run
        elif len(run) < _CHANGE and run[-1] is not windows[-1]:  # the last may go on
            found += [one if one.limit is None else one._replace(value=one.limit) for one in run]
    return found
