"""Windows of a reference, and what each is compared with."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from driftline.errors import DriftlineError
from driftline.monitors.calibration.reference import (
    Blocks,
    LazyBlocks,
    Matching,
    Reference,
    match_keys,
    without_block,
)
from driftline.monitors.columns.counts import Counts
from driftline.profile.binning import Binning, NumericBins
from driftline.profile.profile import Profile

HOUR, DAY, WEEK = 3_600, 86_400, 604_800
BINNING = Binning((NumericBins("x", (0.0, 1.0, 2.0), (1,)),))


def blocks(seconds: int, starts: list[int]) -> Blocks:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, (len(starts), BINNING.size))
    sums = rng.integers(0, 9, (len(starts), BINNING.summed))
    return Blocks(seconds, np.array(starts), counts, sums)


def test_longer_windows_are_sums() -> None:
    hours = blocks(HOUR, [hour * HOUR for hour in range(48) if hour != 5])
    days = hours.windows(DAY)
    assert days.starts.tolist() == [0, DAY]
    assert np.array_equal(days.counts[0], hours.counts[:23].sum(axis=0))
    assert np.array_equal(days.sums[1], hours.sums[23:].sum(axis=0))
    assert hours.windows(HOUR) is hours


def test_windows_that_blocks_cannot_make_are_refused() -> None:
    hours = blocks(HOUR, [0, HOUR])
    assert not Reference(BINNING, Profile.of(BINNING), hours).has_windows(5_400)
    with pytest.raises(DriftlineError, match="windows of 5400 s are not a multiple"):
        hours.windows(5_400)


@pytest.mark.parametrize("matching", ["none", "hour_of_day", "day_of_week", "hour_of_week"])
def test_left_out_is_all_matching_windows_of_other_blocks(matching: Matching) -> None:
    hours = blocks(HOUR, [3 * hour * HOUR for hour in range(8 * 21)])  # three weeks, every 3 hours
    counts = Counts.of_many(BINNING, hours.counts, hours.sums, "x")
    remaining = without_block(hours, counts, timedelta(days=7), matching)
    keys, weeks = match_keys(hours.starts, matching), hours.starts // WEEK
    for i in (0, 50, 167):
        other_weeks = (keys == keys[i]) & (weeks != weeks[i])
        assert np.allclose(remaining.cells[i], counts.cells[other_weeks].sum(axis=0))
        assert np.allclose(remaining.sums[i], counts.sums[other_weeks].sum(axis=0))


def test_matching_compares_with_the_same_time() -> None:
    hours = blocks(HOUR, [hour * HOUR for hour in range(24 * 14)])
    total = Profile(BINNING, hours.counts.sum(axis=0), hours.sums.sum(axis=0))
    reference = Reference(BINNING, total, hours)
    end = datetime.fromtimestamp(100 * DAY + 8 * HOUR, UTC)  # the hour from 7 to 8
    matched = reference.column("x", HOUR, "hour_of_day", end)
    assert np.array_equal(matched.cells[0], hours.counts[7::24].sum(axis=0))
    everything = reference.column("x", HOUR, "none", end)
    assert np.array_equal(everything.cells[0], total.counts)


def test_blocks_are_read_when_they_are_needed() -> None:
    hours, reads = blocks(HOUR, [hour * HOUR for hour in range(48)]), []

    def read() -> Blocks:
        reads.append(len(hours))
        return hours

    reference = Reference(BINNING, Profile.of(BINNING), LazyBlocks(HOUR, 48, read))
    assert reference.has_windows(DAY)
    assert reads == []
    assert (reference.windows(DAY), reference.windows(HOUR)) == (reference.windows(DAY), hours)
    assert reads == [48]
    reference.release()
    assert reference.max_rows(HOUR) > 0
    assert reads == [48, 48]


def test_without_blocks_there_are_no_windows() -> None:
    reference = Reference(BINNING, Profile.of(BINNING))
    assert reference.windows(DAY) is None
