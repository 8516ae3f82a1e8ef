"""Run monitors that compare windows with earlier ones, one window length at a time."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from driftline.monitors.windows.judged_window import JudgedWindow
from driftline.monitors.windows.schedule import Length
from driftline.monitors.windows.verdict import Verdict

Verdicts = Mapping[datetime, Sequence[Verdict]]  # by end


def by_length(
    windows: Sequence[JudgedWindow],
    judge: Callable[[Length, Sequence[JudgedWindow]], Verdicts],
) -> dict[tuple[datetime, int], Sequence[Verdict]]:
    """The verdicts of windows that were judged just now, by end and seconds.

    Parameters:
        windows: of any lengths.
        judge: called with a length whose columns are judged, and its windows; its verdicts of
            other windows are left out.
    """
    verdicts: dict[tuple[datetime, int], Sequence[Verdict]] = {}
    for length in {window.length for window in windows if window.length.columns}:
        ends = [window.end for window in windows if window.length == length]
        judged = judge(length, [window for window in windows if window.length == length])
        verdicts |= {(end, length.seconds): judged[end] for end in ends if end in judged}
    return verdicts
