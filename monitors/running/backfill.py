"""Judge windows of the past, as a live run would have in the end; nobody is told."""

from collections.abc import Callable
from datetime import datetime, timedelta

from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.monitors.running.late_labels import LateTruth
from driftline.monitors.running.window_judging import Due, Watch
from driftline.monitors.windows import schedule
from driftline.monitors.windows.schedule import Length
from driftline.storage import locks
from driftline.storage.connection import Connection, clock, connect
from driftline.storage.profiles import windows

_AT_ONCE = 64  # windows in one transaction


def backfill(
    config: Config,
    name: str,
    since: datetime,
    until: datetime,
    *,
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> int:
    """Judge every window that lies within [since, until), in order of their ends.

    Windows that were judged before are judged again, as a revision. No alert moves, and what a
    runner has yet to judge or to measure stays its own: it alerts on that as if nothing had been.
    Windows whose lateness has not passed are left to it.

    Parameters:
        progress: is told how many windows of how many are done.

    Returns:
        How many windows were judged.

    Raises:
        DriftlineError: `since` is not before `until`, or nothing was counted in between.
    """
    watch, truth = Watch(name, config.model(name)), LateTruth(name, config.model(name))
    if since >= until:
        raise DriftlineError(f"since {since} is not before until {until}: exchange them")
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        clock = _clock(connection, watch, name)
        wanted = _windows(watch, since, min(until, clock - watch.settings.lateness))
        for start in range(0, len(wanted), _AT_ONCE):
            chunk = wanted[start : start + _AT_ONCE]
            with locks.transaction(connection, "round", name):
                fresh = watch.judge(connection, Due(clock, chunk))
                truth.judge(connection, clock, fresh, live=False)
            progress(start + len(chunk), len(wanted))
    return len(wanted)


def _clock(connection: Connection, watch: Watch, name: str) -> datetime:
    counted = windows.counted_until(connection, name)
    if counted is None:
        raise DriftlineError(
            f"nothing of model {name!r} was counted yet: its job makes profiles ('driftline run')"
        )
    return clock(connection) if watch.settings.clock == "wall" else counted


def _windows(watch: Watch, since: datetime, until: datetime) -> list[tuple[datetime, Length]]:
    found = []
    for length in watch.lengths:
        first = schedule.first_end(length, since + timedelta(seconds=length.seconds - length.step))
        if int(since.timestamp()) % length.step:  # the window that `since` cuts is left out
            first += timedelta(seconds=length.step)
        last = schedule.last_end(length, until)
        found += [(end, length) for end in schedule.ends(length, first, last)]
    return sorted(found, key=lambda one: (one[0], one[1].seconds))
