"""All windows of a stream judged at once: what `Judge.judge` decides of them one by one.

A verdict's words and threshold cost more than its decision, and a simulation needs neither.
Windows of one call share their cells, which `Judge.judge` chooses by the rows of each: only those
with about as many rows are in one call, so that nearly all are decided as they are by themselves
(`test_decided.py`, `test_real_flights.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.reference import Blocks, match_keys
from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.monitor import Monitor, applies_to
from driftline.monitors.windows.verdict import Status
from driftline.profile.binning import Floats, Ints

_ALIKE = 0.1  # in the logarithm of the rows


@dataclass(frozen=True)
class Decided:
    """What one monitor says of one column in m windows.

    Attributes:
        p_values, effects: float64[m]; NaN where there is none.
    """

    monitor: Monitor
    column: str
    statuses: Sequence[Status]
    p_values: Floats
    effects: Floats

    @property
    def alarms(self) -> npt.NDArray[np.bool_]:
        """bool[m]."""
        return np.array([status == "alarm" for status in self.statuses])


def decide(judge: Judge, windows: Blocks) -> Iterator[Decided]:
    """Of each column and monitor that fit.

    Parameters:
        windows: of the judge's binning.
    """
    binning = judge.reference.binning
    for column in judge.columns:
        counts = Counts.of_many(binning, windows.counts, windows.sums, column)
        parts = [
            Part(which, counts.take(which), _reference(judge, windows, which, column))
            for which in _alike(judge, windows, counts.rows)
        ]
        for monitor in judge.monitors.values():
            if applies_to(monitor, binning.by_name[column]):
                yield _decided(judge, monitor, windows, parts)


class Part(NamedTuple):
    """A column of some of the windows, and what they are compared with."""

    which: Ints
    now: Counts
    before: Counts


def _alike(judge: Judge, windows: Blocks, rows: Floats) -> list[Ints]:
    """Windows that are compared with the same rows, and have about as many."""
    keys = match_keys(windows.starts, judge.settings.matching)
    sizes = np.floor(np.log(np.maximum(rows, 1)) / _ALIKE)
    _, group = np.unique(np.stack((keys, sizes)), axis=1, return_inverse=True)
    return [np.flatnonzero(group == one) for one in range(group.max(initial=-1) + 1)]


def _reference(judge: Judge, windows: Blocks, which: Ints, column: str) -> Counts:
    end = datetime.fromtimestamp(int(windows.starts[which[0]]) + windows.seconds, UTC)
    return judge.reference.column(column, windows.seconds, judge.settings.matching, end)


def _decided(judge: Judge, monitor: Monitor, windows: Blocks, parts: Sequence[Part]) -> Decided:
    m = len(windows)
    statuses: list[Status] = ["no_data"] * m
    p_values, effects = np.full(m, np.nan), np.full(m, np.nan)
    for which, now, before in parts:
        untested = judge.untested(monitor, windows.seconds, now, before)
        for at, why in zip(which.tolist(), untested, strict=True):
            statuses[at] = why or "ok"
        tested = np.array([why is None for why in untested])
        if not tested.any():
            continue
        at_once = judge.decide(monitor, windows.seconds, now.take(np.flatnonzero(tested)), before)
        p_values[which[tested]] = np.array(at_once.p_values, dtype=np.float64)
        effects[which[tested]] = np.array(at_once.effects, dtype=np.float64)
        for at, status in zip(which[tested].tolist(), at_once.statuses, strict=True):
            statuses[at] = status
    return Decided(monitor, parts[0].now.bins.name, statuses, p_values, effects)
