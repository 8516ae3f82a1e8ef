"""Which windows of event time have ended, and which of them are to be judged, or judged again."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from driftline.config import Model
from driftline.config.monitors import WindowLength
from driftline.profile.binning import Ints


@dataclass(frozen=True)
class Length:
    """Windows of one length.

    Attributes:
        seconds: the length.
        step: seconds from the start of one to the next; ends are multiples of it since 1970.
        reach: how far back from its end a window's verdicts look, in seconds.
        columns: the columns are judged; without, only what the length was added for.
    """

    seconds: int
    step: int
    reach: int
    columns: bool = True


def lengths(model: Model) -> list[Length]:
    """The lengths that a model is judged at: the configured ones, and latency's short window."""
    found = {length.seconds: of(length) for length in model.monitors.windows}
    for objective in (model.monitors.latency.inference, model.monitors.latency.end_to_end):
        if objective is None:
            continue
        short, long = (int(w.total_seconds()) for w in (objective.short, objective.long))
        before = found.get(short, Length(short, short, short, columns=False))
        reach = max(before.reach, long)
        found[short] = Length(short, before.step, reach, before.columns)
    return [found[seconds] for seconds in sorted(found)]


def last_end(length: Length, until: datetime) -> datetime:
    """The end of the newest window that ends at `until` or before."""
    return _time(int(until.timestamp()) // length.step * length.step)


def first_end(length: Length, since: datetime) -> datetime:
    """The end of the first window that holds what happens from `since` on."""
    return _time((int(since.timestamp()) // length.step + 1) * length.step)


def ends(length: Length, first: datetime, last: datetime) -> list[datetime]:
    """The ends of the windows from one to another, both included."""
    start, stop = int(first.timestamp()), int(last.timestamp())
    return [_time(second) for second in range(start, stop + 1, length.step)]


def touched(length: Length, minutes: Ints, first: datetime, last: datetime) -> list[datetime]:
    """The windows that end in [first, last] whose verdicts depend on some of the minutes.

    Args:
        minutes: int64[n, 2], [first, end) since 1970.
    """
    low, high = int(first.timestamp()), int(last.timestamp())
    found: set[int] = set()
    for begin, end in minutes * 60:
        nearest = (int(begin) // length.step + 1) * length.step
        start = max(nearest, -(-low // length.step) * length.step)
        stop = min(int(end) - 1 + length.reach, high)
        found.update(range(start, stop + 1, length.step))
    return [_time(second) for second in sorted(found)]


def of(length: WindowLength) -> Length:
    """A configured length."""
    return Length(length.seconds, int(length.step.total_seconds()), length.seconds)


def _time(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def minutes_of(times: list[datetime]) -> Ints:
    """The minutes that some times lie in, int64[n, 2]."""
    each = np.array([int(time.timestamp()) // 60 for time in times], dtype=np.int64)
    return np.stack((each, each + 1), axis=1)
