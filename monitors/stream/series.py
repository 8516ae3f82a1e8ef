"""What monitors say of windows by the windows before them, length by length."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from driftline.monitors.windows.judged_window import Fresh
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict

Said = Mapping[datetime, Sequence[Verdict]]


def by_length(
    fresh: Sequence[Fresh], judge: Callable[[Length, Sequence[Fresh]], Said]
) -> dict[tuple[datetime, int], Sequence[Verdict]]:
    """What is said of the windows that were judged just now, by end and seconds.

    Args:
        fresh: of any lengths.
        judge: is given a length whose columns are judged, and its windows; what it says of others
            is left out.
    """
    found: dict[tuple[datetime, int], Sequence[Verdict]] = {}
    for length in {one.length for one in fresh if one.length.columns}:
        mine = [one for one in fresh if one.length == length]
        said = judge(length, mine)
        found |= {(one.end, length.seconds): said[one.end] for one in mine if one.end in said}
    return found
