"""Judge windows of the past, with the verdicts of a live run; nobody is notified."""

from collections.abc import Callable
from datetime import datetime, timedelta

from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.monitors.running.due_windows import Due
from driftline.monitors.running.late_labels import LateLabels
from driftline.monitors.running.window_judging import WindowJudge
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

    Windows that were judged before are judged again, as a revision. No alert changes. Windows that
    a runner must still judge or measure remain due for it, and it alerts on them as usual. Windows
    whose lateness has not passed are left to the runner.

    Parameters:
        progress: called with the number of finished windows and the total.

    Returns:
        How many windows were judged.

    Raises:
        DriftlineError: `since` is not earlier than `until`, or the model has no profiles.
    """
    judge, labels = WindowJudge(name, config.model(name)), LateLabels(name, config.model(name))
    if since >= until:
        raise DriftlineError(f"since {since} must be earlier than until {until}")
    with connect(config.local_postgres(), "write", autocommit=True) as connection:
        clock = _clock(connection, judge, name)
        due = _windows(judge, since, min(until, clock - judge.settings.lateness))
        for start in range(0, len(due), _AT_ONCE):
            chunk = due[start : start + _AT_ONCE]
            with locks.transaction(connection, "round", name):
                judged = judge.judge(connection, Due(clock, chunk))
                labels.judge(connection, clock, judged, live=False)
            progress(start + len(chunk), len(due))
    return len(due)


def _clock(connection: Connection, judge: WindowJudge, name: str) -> datetime:
    counted = windows.counted_until(connection, name)
    if counted is None:
        raise DriftlineError(
            f"model {name!r} has no profiles yet: start its job with 'driftline run'"
        )
    return clock(connection) if judge.settings.clock == "wall" else counted


def _windows(judge: WindowJudge, since: datetime, until: datetime) -> list[tuple[datetime, Length]]:
    due = []
    for length in judge.lengths:
        first = schedule.first_end(length, since + timedelta(seconds=length.seconds - length.step))
        if int(since.timestamp()) % length.step:  # leave out the window that contains `since`
            first += timedelta(seconds=length.step)
        last = schedule.last_end(length, until)
        due += [(end, length) for end in schedule.ends(length, first, last)]
    return sorted(due, key=lambda window: (window[0], window[1].seconds))
