"""Sums of whole hours: each hour is summed once, when late events can no longer change it."""

from datetime import datetime, timedelta

from driftline.profile.binning import Ints
from driftline.storage.connection import Connection
from driftline.storage.profiles import hours
from driftline.storage.profiles.hours import HOUR
from driftline.storage.profiles.profile_rows import floor

MIN_WINDOW = 2 * HOUR  # from this length on, windows are read by the hour
_MAX_LIVE = 2  # hours that close in one call; more means a replay
_AT_ONCE = 48  # hours that one transaction sums, at most


class HourSums:
    """Maintains the sums of the hours that a model's longest window reads.

    A replay closes hours faster than windows could use their sums, so it stores none.

    Parameters:
        model: its name.
        longest: length of the longest window.
    """

    def __init__(self, model: str, longest: timedelta) -> None:
        self._model = model
        self._longest = longest
        self._until: datetime | None = None
        self._touched: set[datetime] = set()

    def advance(self, connection: Connection, minutes: Ints, closed: datetime) -> None:
        """Sum the hours that closed or changed, in the transaction that consumes the marks.

        Parameters:
            minutes: the minutes counted since the last call, int64[n, 2].
            closed: no change is expected before it.
        """
        if self._longest < MIN_WINDOW:
            return
        until = floor(closed, 60)
        previous = self._until or until
        new = max((until - previous) // HOUR, 0)
        self._touched |= hours.containing(minutes)
        closed_hours = {hour for hour in self._touched if hour < until}
        closed_hours |= {previous + i * HOUR for i in range(new)}
        oldest = until - self._longest - HOUR
        # also touched hours that are open: they were summed if a smaller lateness was configured
        hours.drop(connection, self._model, self._touched | closed_hours, oldest)
        if new <= _MAX_LIVE:
            needed = sorted(hour for hour in closed_hours if oldest <= hour)
            hours.write_sums(connection, self._model, needed[-_AT_ONCE:])
        self._until = max(until, previous)
        self._touched -= closed_hours
