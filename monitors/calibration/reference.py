"""The reference that windows are compared with: as a whole, and as windows of its own."""

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
    """Profiles of consecutive blocks of time.

    Attributes:
        seconds: the length of each.
        starts: int64[m], seconds since the epoch, ascending; blocks without rows may be omitted.
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
        """Sums over longer windows, aligned to whole multiples since the epoch.

        Raises:
            DriftlineError: the length is not a multiple of the blocks' length.
        """
        if seconds == self.seconds:
            return self
        if seconds % self.seconds:
            raise DriftlineError(
                f"the reference has blocks of {self.seconds} s, and windows of {seconds} s are not "
                "a multiple of it: set it with shorter blocks (driftline reference set --block)"
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
        """The blocks themselves; the counterpart of `LazyBlocks.read`."""
        return self


@dataclass(frozen=True, eq=False)
class LazyBlocks:
    """Blocks that are read when needed, which is rare once the null distributions are stored.

    A block of 20 columns takes 44 kB: those of a thousand models do not fit into memory.

    Attributes:
        seconds: the length of each.
        number: the number of blocks.
        read: reads them.
    """

    seconds: int
    number: int
    read: Callable[[], Blocks]

    def __len__(self) -> int:
        return self.number


@dataclass(frozen=True, eq=False)
class Reference:
    """The reference of a model version's windows.

    Attributes:
        binning: the version's cells.
        total: all rows.
        blocks: the same rows by time; None where times are unknown, as in shuffled training data.
    """

    binning: Binning
    total: Profile
    blocks: Blocks | LazyBlocks | None = None

    @cached_property
    def _windows(self) -> dict[int, Blocks]:
        return {}

    @cached_property
    def _totals(self) -> dict[str, Counts]:
        return {}

    @cached_property
    def _max_rows(self) -> dict[int, float]:
        return {}

    def has_windows(self, seconds: int) -> bool:
        """Whether its blocks can be combined to windows of this length."""
        if self.blocks is None:
            return False
        return len(self.blocks) > 0 and seconds % self.blocks.seconds == 0

    def windows(self, seconds: int) -> Blocks | None:
        """Its windows of a length; None when `has_windows` is False."""
        if self.blocks is None or not self.has_windows(seconds):
            return None
        block_seconds = self.blocks.seconds
        if block_seconds not in self._windows:
            self._windows[block_seconds] = self.blocks.read()
        if seconds not in self._windows:
            self._windows[seconds] = self._windows[block_seconds].windows(seconds)
        return self._windows[seconds]

    def release(self) -> None:
        """Free the windows; they are read again when needed."""
        self._windows.clear()

    def max_rows(self, seconds: int) -> float:
        """Rows of the largest window of a length; 0 without windows."""
        if seconds not in self._max_rows:
            windows = self.windows(seconds)
            if windows is None:
                return 0.0
            column = self.binning.columns[0].name  # every column counts all rows
            rows = Counts.of_many(self.binning, windows.counts, windows.sums, column).rows
            self._max_rows[seconds] = float(rows.max(initial=0))
        return self._max_rows[seconds]

    def column(self, column: str, seconds: int, matching: Matching, end: datetime) -> Counts:
        """The reference for a column of a window, m = 1: all rows, or those of matching windows."""
        windows = None if matching == "none" else self.windows(seconds)
        if windows is None:
            if column not in self._totals:
                self._totals[column] = Counts.of(self.total, column)
            return self._totals[column]
        keys = match_keys(windows.starts, matching)
        start = int((end - timedelta(seconds=seconds)).timestamp())
        same = keys == match_keys(np.array([start]), matching)[0]
        chosen = Counts.of_many(self.binning, windows.counts[same], windows.sums[same], column)
        return chosen.total()


def match_keys(starts: Ints, matching: Matching) -> Ints:
    """int64[m], equal for windows that match: the same hour, weekday, or both (UTC).

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


def without_block(windows: Blocks, counts: Counts, block: timedelta, matching: Matching) -> Counts:
    """For each window, the reference without the block of time that contains it.

    Parameters:
        windows: m windows of the reference.
        counts: one column of them.
        block: the length of time that is left out together, such as a week.
        matching: only windows with the same key are in the reference.
    """
    keys = match_keys(windows.starts, matching)
    block_index = windows.starts // int(block.total_seconds())
    _, pair = np.unique(np.stack((keys, block_index)), axis=1, return_inverse=True)
    _, key = np.unique(keys, return_inverse=True)
    return counts.each(lambda part: _sum_by(key, part) - _sum_by(pair, part))


def _sum_by(group: Ints, part: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """For each row, the sum over all rows of its group."""
    if not part.size:
        return part
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sums = np.add.reduceat(part[order], starts, axis=0)
    return sums[group]
