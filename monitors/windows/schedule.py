"""Which windows of event time have ended, and which of them must be judged, or judged again."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from driftline.config import Model
from driftline.config.monitors import WindowLength
from driftline.profile.binning import Ints


@dataclass(frozen=True)
class Length:
    """Windows of one length.

    Attributes:
        seconds: the length.
        step: seconds from the start of one to the next; ends are multiples of it since 1970.
        reach: seconds before its end that a window's verdicts depend on.
        columns: whether columns are judged, or only what the length was added for.
    """

    seconds: int
    step: int
    reach: int
    columns: bool = True


def lengths(model: Model) -> list[Length]:
    """The lengths that a model is judged at: the configured ones, and latency's short window."""
    by_seconds = {length.seconds: from_config(length) for length in model.monitors.windows}
    for objective in (model.monitors.latency.inference, model.monitors.latency.end_to_end):
        if objective is None:
            continue
        short, long = (
            int(w.total_seconds()) for w in (objective.short_window, objective.long_window)
        )
        length = by_seconds.get(short, Length(short, short, short, columns=False))
        by_seconds[short] = replace(length, reach=max(length.reach, long))
    return [by_seconds[seconds] for seconds in sorted(by_seconds)]


def last_end(length: Length, until: datetime) -> datetime:
    """The end of the newest window that ends at `until` or before."""
    return _time(int(until.timestamp()) // length.step * length.step)


def first_end(length: Length, since: datetime) -> datetime:
    """The end of the first window that contains `since` or what follows it."""
    return _time((int(since.timestamp()) // length.step + 1) * length.step)


def ends(length: Length, first: datetime, last: datetime) -> list[datetime]:
    """The ends of the windows from `first` to `last`, both included."""
    start, stop = int(first.timestamp()), int(last.timestamp())
    return [_time(second) for second in range(start, stop + 1, length.step)]


def touched(length: Length, minutes: Ints, first: datetime, last: datetime) -> list[datetime]:
    """The windows that end in [first, last] whose verdicts depend on some of the minutes.

    Parameters:
        minutes: int64[n, 2], [first, end) since 1970.
    """
    low, high = int(first.timestamp()), int(last.timestamp())
    touched_ends: set[int] = set()
    for begin, end in minutes * 60:
        nearest = (int(begin) // length.step + 1) * length.step
        start = max(nearest, -(-low // length.step) * length.step)
        stop = min(int(end) - 1 + length.reach, high)
        touched_ends.update(range(start, stop + 1, length.step))
    return [_time(second) for second in sorted(touched_ends)]


def from_config(length: WindowLength) -> Length:
    """The windows of a configured length."""
    return Length(length.seconds, int(length.step.total_seconds()), length.seconds)


def _time(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)
