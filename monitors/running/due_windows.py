"""Which windows of a model must be judged now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from driftline.config import Model
from driftline.monitors.running.hour_sums import HourSums
from driftline.monitors.windows import schedule
from driftline.monitors.windows.schedule import Length
from driftline.storage.connection import Connection
from driftline.storage.monitoring import judged_windows
from driftline.storage.profiles import dirty_minutes, windows

_MAX_NEW = 64  # windows that one transaction judges for the first time, at most
_FIRST_ROUND = timedelta(days=1)  # of the past, that a model's first round judges, at least
_INSTANT = timedelta(microseconds=1)
_NO_SPAN = (None, None, None)  # no window of a length was judged yet


@dataclass(frozen=True)
class Due:
    """The windows that must be judged.

    Attributes:
        clock: the time that decides which windows have ended; None before anything was counted.
        windows: (end, length), in order of their ends.
        more: the number of due windows that are left for later calls.
        waited_since: when the oldest of all due windows should have been judged.
        opening: (end, seconds) of those that a runner judges for the first time; a backfill may
            have judged them before.
    """

    clock: datetime | None
    windows: Sequence[tuple[datetime, Length]]
    more: int = 0
    waited_since: datetime | None = None
    opening: frozenset[tuple[datetime, int]] = frozenset()


class DueWindows:
    """Finds the due windows of one model.

    Parameters:
        name: the model's name in the config.
        model: its section.
    """

    def __init__(self, name: str, model: Model) -> None:
        self._name = name
        self._settings = model.monitors
        self._lengths = schedule.lengths(model)
        longest = max(max(length.seconds, length.reach) for length in self._lengths)
        self._hour_sums = HourSums(name, timedelta(seconds=longest))

    def find(self, connection: Connection, now: datetime, *, ended: bool = False) -> Due:
        """The windows that are due; consumes the marks of late events in the caller's transaction.

        Parameters:
            now: the database's time.
            ended: the stream has ended: also windows whose lateness has not passed.
        """
        counted = windows.counted_until(connection, self._name)
        clock = now if self._settings.clock == "wall" else counted
        if clock is None or counted is None:
            return Due(clock, ())
        until = clock - (timedelta(0) if ended else self._settings.lateness)
        minutes = dirty_minutes.consume(connection, self._name)
        self._hour_sums.advance(connection, minutes, until)
        lengths = (length.seconds for length in self._lengths)
        spans = judged_windows.spans(connection, self._name, lengths)
        again: set[tuple[datetime, Length]] = set()
        new: list[tuple[datetime, Length]] = []
        gap: list[tuple[datetime, Length]] = []
        for length in self._lengths:
            closed = schedule.last_end(length, until)
            start = self._first_end(connection, length, clock)
            first, oldest, frontier = spans.get(length.seconds, _NO_SPAN)
            if first is not None and oldest is not None and frontier is not None:
                changed = schedule.touched(length, minutes, first, frontier)
                judged = judged_windows.read(connection, self._name, length.seconds, changed)
                again.update((end, length) for end in judged)
                if self._settings.clock == "event":  # the first events need not be the oldest
                    last = schedule.last_end(length, oldest - _INSTANT)
                    gap += [(end, length) for end in schedule.ends(length, start, last)]
                start = schedule.first_end(length, frontier)  # the config's `step` may have changed
            new += [(end, length) for end in schedule.ends(length, start, closed)]
        # a gap is closed backwards, so that the judged windows remain one stretch of time
        first_time = [*sorted(gap, key=_order, reverse=True), *sorted(new, key=_order)]
        opening = first_time[:_MAX_NEW]
        waiting = min((end for end, _ in new), default=None)
        return Due(
            clock,
            sorted(again.union(opening), key=_order),
            max(len(first_time) - _MAX_NEW, 0),
            None if waiting is None else waiting + self._settings.lateness,
            frozenset(_order(window) for window in opening),
        )

    def next_close(self, now: datetime) -> datetime:
        """When the lateness of the next window passes, if the wall clock decides."""
        late = self._settings.lateness
        return min(schedule.first_end(length, now - late) for length in self._lengths) + late

    def _first_end(self, connection: Connection, length: Length, clock: datetime) -> datetime:
        """The end of the first window that is ever judged."""
        oldest = windows.counted_since(connection, self._name)
        assert oldest is not None
        if self._settings.clock == "wall":
            history = max(_FIRST_ROUND, timedelta(seconds=length.seconds))
            oldest = max(oldest, clock - self._settings.lateness - history)
        return schedule.first_end(length, oldest)


def _order(window: tuple[datetime, Length]) -> tuple[datetime, int]:
    end, length = window
    return end, length.seconds
