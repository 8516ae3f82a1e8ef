"""The words of the category that changed most are of what was judged."""

import numpy as np
import pytest

from driftline.monitors.columns.counts import Counts
from driftline.monitors.columns.largest_category import LargestCategory
from driftline.profile.binning import CategoryBins

BINS = CategoryBins("country", ("de", "fr", *(f"rare{i}" for i in range(50))), ())


def counts(de: float, fr: float, each_rare: float, first_rare: float = 0.0) -> Counts:
    rare = np.full(50, each_rare)
    rare[0] += first_rare
    cells = np.concatenate(([de, fr], rare, [0.0, 0.0, 0.0]))
    return Counts(BINS, cells[None, :], np.zeros((1, 0)))


@pytest.mark.parametrize(
    ("current", "words"),
    [
        (counts(300, 170, 0.6), "'de' rose from 50 % to 60 %"),
        (counts(250, 150, 2), "all 50 rare values rose from 10 % to 20 %"),
    ],
)
def test_words_and_value_agree(current: Counts, words: str) -> None:
    reference = counts(50_000, 40_000, 200)
    monitor = LargestCategory()
    assert monitor.describe(current, reference) == words
    value = monitor.compare(current, reference).value[0]
    assert value == pytest.approx(0.1)


def test_a_category_that_is_common_in_large_windows_has_its_name() -> None:
    reference = counts(50_000, 40_000, 200)
    current = counts(50_000, 40_000, 200, first_rare=1_000)
    assert LargestCategory().describe(current, reference).startswith("'rare0' rose from ")
