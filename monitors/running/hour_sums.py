"""Which hours of a model are added up when: each once, as soon as nothing late may change it."""

from datetime import datetime, timedelta

from driftline.profile.binning import Ints
from driftline.storage.connection import Connection
from driftline.storage.profiles import hours
from driftline.storage.profiles.hours import HOUR
from driftline.storage.profiles.profile_rows import floor

WORTH = 2 * HOUR  # windows from this length on are read by the hour
_LIVE = 2  # hours that close at once, at most, in a stream that is no replay
_AT_ONCE = 48  # hours that one transaction adds up, at most


class Fold:
    """Keeps the sums of the hours that a model's longest window reads.

    A replay closes hours faster than windows could profit from their sums: it makes none.

    Parameters:
        model: its name.
        longest: the longest window.
    """

    def __init__(self, model: str, longest: timedelta) -> None:
        self._model = model
        self._longest = longest
        self._until: datetime | None = None
        self._touched: set[datetime] = set()

    def advance(self, connection: Connection, minutes: Ints, closed: datetime) -> None:
        """Add up what has closed or has changed, in the transaction that takes the marks.

        Parameters:
            minutes: what was counted since the last call, int64[n, 2].
            closed: nothing before it is expected to change.
        """
        if self._longest < WORTH:
            return
        until = floor(closed, 60)
        before = self._until or until
        new = max((until - before) // HOUR, 0)
        self._touched |= hours.of_minutes(minutes)
        wanted = {hour for hour in self._touched if hour < until}
        wanted |= {before + i * HOUR for i in range(new)}
        oldest = until - self._longest - HOUR
        # those to come, too: they were added up if less lateness was allowed before
        hours.drop(connection, self._model, self._touched | wanted, oldest)
        if new <= _LIVE:
            made = sorted(hour for hour in wanted if oldest <= hour)
            hours.add_up(connection, self._model, made[-_AT_ONCE:])
        self._until = max(until, before)
        self._touched -= wanted
