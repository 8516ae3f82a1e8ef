"""What a window is compared with: the reference as a whole, and as windows of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from driftline.errors import DriftlineError
from driftline.monitors.columns.counts import Counts
from driftline.profile.binning import Binning, Ints
from driftline.profile.profile import Profile

Matching = Literal["none", "hour_of_day", "day_of_week", "hour_of_week"]
Times = npt.NDArray[np.datetime64]

_HOUR, _DAY, _WEEK = 3_600, 86_400, 604_800


@dataclass(frozen=True, eq=False)
class Blocks:
    """Profiles of consecutive stretches of time.

    Attributes:
        seconds: the length of each.
        starts: int64[m], seconds of the epoch, ascending; stretches without rows may be left out.
        counts: int64[m, binning.size].
        sums: int64[m, binning.summed].
    """

    seconds: int
    starts: Ints
    counts: Ints
    sums: Ints

    def __len__(self) -> int:
        return len(self.starts)

    def windows(self, seconds: int) -> "Blocks":
        """Sums over longer stretches, aligned to whole multiples since the epoch.

        Raises:
            DriftlineError: the length is no multiple of the blocks' own.
        """
        if seconds == self.seconds:
            return self
        if seconds % self.seconds:
            raise DriftlineError(
                f"the reference has blocks of {self.seconds} s: windows of {seconds} s are no "
                "multiple of it; make it with shorter blocks (driftline reference set)"
            )
        keys = self.starts // seconds
        first = np.flatnonzero(np.diff(keys, prepend=-1))
        return Blocks(
            seconds,
            keys[first] * seconds,
            np.add.reduceat(self.counts, first, axis=0),
            np.add.reduceat(self.sums, first, axis=0),
        )

    def read(self) -> "Blocks":
        """Themselves: see `BlocksElsewhere`."""
        return self


@dataclass(frozen=True, eq=False)
class BlocksElsewhere:
    """Blocks that are read when they are needed, which is seldom once the laws are known.

    A block of 20 columns takes 44 kB: a thousand models' would fill any machine.

    Attributes:
        seconds: the length of each.
        number: how many there are.
        read: gives them.
    """

    seconds: int
    number: int
    read: Callable[[], Blocks]

    def __len__(self) -> int:
        return self.number


@dataclass(frozen=True, eq=False)
class Reference:
    """What a model version's windows are compared with.

    Attributes:
        binning: the version's cells.
        total: all rows.
        blocks: the same by time, where times are known: training data is often shuffled.
    """

    binning: Binning
    total: Profile
    blocks: Blocks | BlocksElsewhere | None = None

    @cached_property
    def _windows(self) -> dict[int, Blocks]:
        return {}

    @cached_property
    def _totals(self) -> dict[str, Counts]:
        return {}

    @cached_property
    def _largest(self) -> dict[int, float]:
        return {}

    def knows(self, seconds: int) -> bool:
        """Whether windows of a length can be made of its blocks."""
        if self.blocks is None:
            return False
        return len(self.blocks) > 0 and seconds % self.blocks.seconds == 0

    def windows(self, seconds: int) -> Blocks | None:
        """Windows of a length; None when they are not known."""
        if self.blocks is None or not self.knows(seconds):
            return None
        own = self.blocks.seconds
        if own not in self._windows:
            self._windows[own] = self.blocks.read()
        if seconds not in self._windows:
            self._windows[seconds] = self._windows[own].windows(seconds)
        return self._windows[seconds]

    def release(self) -> None:
        """Let go of the windows, until they are asked for again."""
        self._windows.clear()

    def largest(self, seconds: int) -> float:
        """Rows of the largest window of a length; 0 when they are not known."""
        if seconds not in self._largest:
            windows = self.windows(seconds)
            if windows is None:
                return 0.0
            column = self.binning.columns[0].name  # each counts all rows
            rows = Counts.of_many(self.binning, windows.counts, windows.sums, column).rows
            self._largest[seconds] = float(rows.max(initial=0))
        return self._largest[seconds]

    def column(self, column: str, seconds: int, matching: Matching, end: datetime) -> Counts:
        """What the column of a window is compared with, m = 1: all rows, or matching ones."""
        windows = None if matching == "none" else self.windows(seconds)
        if windows is None:
            if column not in self._totals:
                self._totals[column] = Counts.of(self.total, column)
            return self._totals[column]
        keys = match_keys(windows.starts, matching)
        start = int((end - timedelta(seconds=seconds)).timestamp())
        mine = keys == match_keys(np.array([start]), matching)[0]
        chosen = Counts.of_many(self.binning, windows.counts[mine], windows.sums[mine], column)
        return chosen.total()


def match_keys(starts: Ints, matching: Matching) -> Ints:
    """int64[m], equal for windows that may be compared: the same hour, day, or both (UTC).

    >>> match_keys(np.array([0, 3_600, 86_400]), "hour_of_day")
    array([0, 1, 0])
    """
    return _KEYS[matching](starts)


_KEYS: dict[str, Callable[[Ints], Ints]] = {
    "none": np.zeros_like,
    "hour_of_day": lambda starts: starts % _DAY // _HOUR,
    "day_of_week": lambda starts: starts % _WEEK // _DAY,
    "hour_of_week": lambda starts: starts % _WEEK // _HOUR,
}


def left_out(windows: Blocks, counts: Counts, block: timedelta, matching: Matching) -> Counts:
    """For each window the reference without the block of time that it lies in.

    Args:
        windows: m windows of the reference.
        counts: one column of them.
        block: the stretch that is left out together, such as a week.
        matching: only windows with the same key are in its reference.
    """
    keys = match_keys(windows.starts, matching)
    together = windows.starts // int(block.total_seconds())
    _, pair = np.unique(np.stack((keys, together)), axis=1, return_inverse=True)
    _, key = np.unique(keys, return_inverse=True)
    return counts.each(lambda part: _sum_by(key, part) - _sum_by(pair, part))


def _sum_by(group: Ints, part: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For each row the sum over all rows of its group."""
    if not part.size:
        return part
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sums = np.add.reduceat(part[order], starts, axis=0)
    return sums[group]
