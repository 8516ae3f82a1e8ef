"""Texts with a long tail: what a reference lacks comes every day, and is no change.

Zipf's law with exponents 1.05, 1.5 and 2, of 100 to a million values; a reference of 10,000 to a
million rows, and windows of 2,000. A new value in one of a hundred rows is found nevertheless.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from scipy import stats

from driftline.config.monitors import Monitors
from driftline.monitors.calibration.judge import Judge
from driftline.monitors.calibration.reference import Blocks, Reference
from driftline.profile import blocks as time_blocks
from driftline.profile.binning import Binning, CategoryBins, Floats, Ints
from driftline.profile.build import build
from driftline.profile.profile import Profile
from driftline.profile.recount import leave_one_out, recount, reference
from driftline.profile.trimmed import trim
from tests.statistics.decided import decide
from tests.statistics.false_alarms import ALERTING
from tests.statistics.streams import DAY, START

DAYS = 28
ROWS = 2_000  # of a window
JUDGED = 28  # windows of a replicate: four weeks
WEEKS = JUDGED / 7
CASES = [
    (exponent, values, known)
    for exponent in (1.05, 1.5, 2.0)
    for values in (100, 10_000, 1_000_000)
    for known in (10_000, 100_000)
]
LARGE = [(1.05, 1_000_000, 1_000_000), (1.5, 1_000_000, 1_000_000)]


@cache
def ends(exponent: float, values: int) -> Floats:
    weights = np.arange(1, values + 1, dtype=np.float64) ** -exponent
    summed: Floats = np.cumsum(weights / weights.sum())
    return summed


def texts(case: tuple[float, int, int], rows: int, rng: np.random.Generator) -> pa.Array:
    drawn: Ints = np.searchsorted(ends(*case[:2]), rng.random(rows))
    return pa.array(drawn.astype(str))


def table(column: pa.Array) -> pa.Table:
    return pa.table({"c": column, "score": np.zeros(len(column))})


def judge(
    case: tuple[float, int, int], rng: np.random.Generator, *, timed: bool, old: bool = False
) -> Judge:
    """Of a training file with that many rows, with or without their times.

    Parameters:
        old: the version was registered when texts had a single hashed cell.
    """
    rows = pa.table({"c": texts(case, case[2], rng)})
    score = np.zeros(case[2])
    binning = build(rows, score)
    if old:
        bins = binning.by_name["c"]
        assert isinstance(bins, CategoryBins)
        binning = Binning((replace(bins, hashed=1), *binning.columns[1:]))
    cells = trim(binning)
    total = cells.profile(reference(rows, score, binning))
    blocks = None
    if timed:
        seconds = np.sort(rng.integers(START, START + DAYS * DAY, case[2]))
        times = pa.array(seconds * 1_000_000).cast(pa.timestamp("us", tz="UTC"))
        seen = leave_one_out(rows, binning).append_column("score", pa.array(score))
        parts = [
            Profile.of(binning, one.cells) for one in time_blocks.build(seen, times, binning, DAY)
        ]
        counted = [cells.profile(part) for part in parts]
        blocks = Blocks(
            DAY,
            START + DAY * np.arange(DAYS),
            np.stack([part.counts for part in counted]),
            np.stack([part.sums for part in counted]),
        )
    settings = Monitors.model_validate({"windows": ["1 d"]})
    return Judge(settings, Reference(cells.binning, total, blocks), monitors=ALERTING)


def windows(
    case: tuple[float, int, int], binning: Binning, rng: np.random.Generator, new: float = 0.0
) -> Blocks:
    """Windows after the reference, with a new value in a share of their rows."""

    def drawn() -> Iterator[Profile]:
        for _ in range(JUDGED):
            news = int(rng.binomial(ROWS, new))
            column = texts(case, ROWS - news, rng)
            added = pa.array(["new"] * news, pa.string())
            yield recount(table(pa.concat_arrays([column, added])), binning)

    found = list(drawn())
    starts = START + DAY * (DAYS + np.arange(JUDGED))
    return Blocks(
        DAY,
        starts,
        np.stack([one.counts for one in found]),
        np.stack([one.sums for one in found]),
    )


def alarmed(
    case: tuple[float, int, int],
    seed: int,
    *,
    timed: bool = True,
    new: float = 0.0,
    old: bool = False,
) -> dict[str, npt.NDArray[np.bool_]]:
    """By monitor, which of the windows alarm."""
    rng = np.random.default_rng(seed)
    made = judge(case, rng, timed=timed, old=old)
    later = windows(case, made.reference.binning, rng, new)
    return {one.monitor.name: one.alarms for one in decide(made, later) if one.column == "c"}


def test_false_alarms_within_the_budget() -> None:
    """Of all cases together, with times and without: 144 weeks at one a week."""
    incidents = weeks = 0.0
    for seed, case in enumerate([*CASES, *CASES]):
        found = alarmed(case, seed, timed=seed < len(CASES))
        incidents += np.any(list(found.values()), axis=0).sum()
        weeks += WEEKS
    assert incidents <= stats.poisson.isf(1e-3, weeks)


def test_false_alarms_of_versions_that_were_registered_before() -> None:
    """Their reference, set again, counts what occurs once as unseen, too."""
    cases = [case for case in CASES if case[2] == 10_000]
    found = [alarmed(case, seed, old=True) for seed, case in enumerate(cases)]
    incidents = sum(np.any(list(one.values()), axis=0).sum() for one in found)
    assert incidents <= stats.poisson.isf(1e-3, len(cases) * WEEKS)


@pytest.mark.long
@pytest.mark.parametrize("case", LARGE)
def test_false_alarms_of_large_references(case: tuple[float, int, int]) -> None:
    found = [alarmed(case, seed) for seed in range(3)]
    incidents = sum(np.any(list(one.values()), axis=0).sum() for one in found)
    assert incidents <= stats.poisson.isf(1e-3, 3 * WEEKS)


@pytest.mark.parametrize("timed", [True, False])
def test_a_new_value_in_one_of_a_hundred_rows(timed: bool) -> None:
    """Found in 80 % of the windows, also where the reference has more values than are known; of
    10,000 rows five windows are a reference, and half are asked for."""
    shares = []
    for seed, case in enumerate(CASES):
        shares.append(alarmed(case, seed, timed=timed, new=0.01)["new_value"].mean())
        assert shares[-1] >= (0.8 if case[2] > 10_000 else 0.5), case
    assert np.mean(shares) > 0.9


def test_rows_of_another_file_are_unseen_by_themselves() -> None:
    """Only what a binning was made of is looked at as by its other rows."""
    rng = np.random.default_rng(0)
    case = CASES[3]
    rows = pa.table({"c": texts(case, 10_000, rng)})
    other = pa.table({"c": texts(case, 10_000, rng)})
    binning = build(rows, np.zeros(10_000))
    assert leave_one_out(other, binning).equals(other)
    unseen = [
        recount(table(one.column("c").combine_chunks()), binning).column("c").unseen
        for one in (rows, leave_one_out(rows, binning), other)
    ]
    assert unseen[0] == 0
    assert unseen[1] == pytest.approx(unseen[2], rel=0.1)
