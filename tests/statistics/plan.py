"""How many replicates a simulation needs: a sequential test whose errors are computed exactly."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from driftline.profile.binning import Floats, Ints

FALSE_FAILURES = 1e-3  # of seeds, where the chance is the right one
MISSES = 1e-2  # of seeds, where it is the wrong one

_MOST = 20_000  # replicates


@dataclass(frozen=True)
class Found:
    """Where a sequential test ended."""

    passed: bool
    hits: int
    replicates: int


@dataclass(frozen=True)
class Plan:
    """Tells two chances apart by independent replicates that hit or miss, one by one.

    Wald's (1945) sequential probability ratio test, which ends at a last replicate. At `right` or
    below it fails with a probability of at most `FALSE_FAILURES`, at `wrong` or above it passes
    with at most `MISSES`; a replicate counts as one, however many alarms it has, so that windows
    that share a reference need not be independent.

    Attributes:
        right: the chance of a hit as it should be.
        wrong: a larger chance, that must be found.
    """

    right: float
    wrong: float

    @property
    def most(self) -> int:
        """Replicates, at most."""
        return len(self._bounds[0])

    def run(self, replicates: Iterator[bool]) -> Found:
        """Ask for replicates until it is clear which of both chances they have."""
        hits = 0
        for n, (low, high) in enumerate(zip(*self._bounds, strict=True), start=1):
            hits += next(replicates)
            if hits <= low or hits >= high:
                return Found(hits <= low, hits, n)
        raise AssertionError("the last replicate decides")

    def failing(self, chance: float) -> float:
        """How often the test fails at a chance of a hit."""
        return _walk(self._bounds, chance)[0]

    def replicates(self, chance: float) -> float:
        """How many replicates it takes, in the mean."""
        return _walk(self._bounds, chance)[1]

    @cached_property
    def _bounds(self) -> tuple[Ints, Ints]:
        """int64[most] each: passed with so many hits or fewer, failed with so many or more."""
        most = self._fixed
        while most <= _MOST:
            bounds = self._ending(most)
            failing, missing = _walk(bounds, self.right)[0], 1 - _walk(bounds, self.wrong)[0]
            if failing <= FALSE_FAILURES and missing <= MISSES:
                return bounds
            most += most // 20 + 1
        raise ValueError(f"{self.right} and {self.wrong} are too close to be told apart")

    @property
    def _fixed(self) -> int:
        """About so many replicates would be needed if their number were fixed."""
        right = math.sqrt(self.right * (1 - self.right)) * float(stats.norm.isf(FALSE_FAILURES))
        wrong = math.sqrt(self.wrong * (1 - self.wrong)) * float(stats.norm.isf(MISSES))
        return math.ceil(((right + wrong) / (self.wrong - self.right)) ** 2)

    def _ending(self, most: int) -> tuple[Ints, Ints]:
        """Half of each error is left for the last replicate."""
        hit = np.log(self.wrong / self.right)
        miss = np.log((1 - self.wrong) / (1 - self.right))
        failed, missed = FALSE_FAILURES / 2, MISSES / 2
        n = np.arange(1, most + 1)
        low = np.floor((np.log(missed / (1 - failed)) - n * miss) / (hit - miss)).astype(np.int64)
        high = np.ceil((np.log((1 - missed) / failed) - n * miss) / (hit - miss)).astype(np.int64)
        last = int(stats.binom.isf(FALSE_FAILURES / 2, most, self.right))
        low[-1], high[-1] = last, last + 1
        return np.minimum(low, high - 1), high


def _walk(bounds: tuple[Ints, Ints], chance: float) -> tuple[float, float]:
    """The probability to fail, and the mean number of replicates."""
    going: Floats = np.array([1.0])  # by hits
    failed = replicates = 0.0
    for low, high in zip(*bounds, strict=True):
        replicates += going.sum()
        going = np.convolve(going, (1 - chance, chance))
        failed += going[max(high, 0) :].sum()
        going = going[: max(high, 0)]
        going[: max(low + 1, 0)] = 0.0
    return float(failed), float(replicates)
