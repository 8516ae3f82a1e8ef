"""`make simulate`: the false incidents of every kind of stream, measured well and on both sides.

Prints the table that docs/monitors.md quotes. Ends with status 1 when more than the budget allows
is found, or when a share is not the one that the tests of `make test` expect.
"""

import math
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np

from driftline.profile.binning import Ints
from tests.statistics.false_alarms import CASES, Case

_SEED = 2  # other replicates than those of `make test`
_SURE = 3.5  # standard errors; of all comparisons together, 2 % would fail by chance
_HEADER = (
    "| stream | budget a week | false incidents a week | share of replicates with one | with "
    "doubled levels |\n|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Measured:
    """Incidents of the replicates of a case, at the levels as they are and at doubled ones."""

    case: Case
    plain: Ints
    doubled: Ints

    @property
    def weekly(self) -> tuple[float, float]:
        """False incidents a week, and the standard error."""
        rates = self.plain / self.case.weeks
        return float(rates.mean()), float(rates.std(ddof=1) / np.sqrt(len(rates)))

    @property
    def line(self) -> str:
        """Its line of the table."""
        mean, error = self.weekly
        return (
            f"| {self.case.name} | {self.case.budget:g} | {mean:.2f} ± {error:.2f} | "
            f"{_share(self.plain):.2f} | {_share(self.doubled):.2f} |"
        )

    @property
    def faults(self) -> list[str]:
        """What is not as it should be."""
        case, (mean, error) = self.case, self.weekly
        found = []
        if mean + 1.645 * error > case.allowed:
            found.append(f"{mean:.3f} false incidents a week, {case.allowed:g} are allowed")
        if abs(_distance(self.plain, case.right)) > _SURE:
            found.append(f"{_share(self.plain):.3f} of replicates alarm, not {case.right}")
        if abs(_distance(self.doubled, case.wrong)) > _SURE:
            found.append(f"{_share(self.doubled):.3f} alarm at doubled levels, not {case.wrong}")
        return [f"{case.name}: {fault}" for fault in found]


def _share(incidents: Ints) -> float:
    return float((incidents > 0).mean())


def _distance(incidents: Ints, expected: float) -> float:
    """In standard errors."""
    error = math.sqrt(expected * (1 - expected) / len(incidents))
    return (_share(incidents) - expected) / error


def measure(case: Case) -> Measured:
    """All replicates of a case; the same streams at both levels."""

    def incidents(factor: float) -> Ints:
        seeds = ([replicate, _SEED] for replicate in range(case.replicates))
        return np.array([case.incidents(np.random.default_rng(s), factor)[0] for s in seeds])

    return Measured(case, incidents(1.0), incidents(2.0))


def main(names: Sequence[str]) -> int:
    """Measure the cases of these names, or all."""
    chosen = [case for case in CASES if case.name in names or not names]
    # the number of processes changes no figure: each replicate has a seed of its own
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        running = [pool.submit(measure, case) for case in chosen]
        for ended in as_completed(running):
            print(ended.result().line, file=sys.stderr, flush=True)
        table = [one.result() for one in running]
    print(_HEADER, *(measured.line for measured in table), sep="\n")
    faults = [fault for measured in table for fault in measured.faults]
    print(*faults, sep="\n", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
