"""Versions that take far longer than another one for the same rows."""

import numpy as np
import pyarrow as pa
import pytest

from driftline.streaming.scoring.rejects import Reason
from driftline.streaming.scoring.score import Scored
from driftline.streaming.scoring.version_fault import Judge, UnfitError

IN_A_ROW = 5


def scored(ms: float, rows: int = 1_000, failed: int = 0) -> Scored:
    ok = np.arange(rows) >= failed
    reasons = {row: Reason("model_failed", "boom") for row in range(failed)}
    return Scored(np.ones(rows), pa.nulls(rows, pa.string()), ok, reasons, failed, None, ms)


def judge(judge: Judge, ms: float, usual: float, rows: int = 1_000, failed: int = 0) -> None:
    found = scored(ms, rows, failed)
    judge.note(2, found)
    judge(2, found, 1, scored(usual, rows))


def test_ten_times_as_long_again_and_again_is_too_slow() -> None:
    strict = Judge(slow=5)
    for _ in range(IN_A_ROW - 1):
        judge(strict, 100, 10)
    with pytest.raises(UnfitError) as error:
        judge(strict, 100, 10)
    assert (error.value.version, error.value.reason) == (2, "too_slow")
    assert error.value.detail == (
        "it took 100.0 ms for 1,000 events and version 1 10.0 ms, again and again over the limit "
        "of 5 times (registry.slow)"
    )


def test_one_batch_in_time_begins_the_count_anew() -> None:
    strict = Judge(slow=5)
    for _ in range(3):
        for _ in range(IN_A_ROW - 1):
            judge(strict, 100, 10)
        judge(strict, 50, 10)


@pytest.mark.parametrize(
    ("slow", "ms", "usual", "rows", "failed"),
    [
        (None, 1_000, 1, 1_000, 0),
        (5, 50, 10, 1_000, 0),
        (5, 5, 0.1, 10, 0),
        (5, 50, 0.1, 10_000, 0),
        (5, 100, 10, 10, 6),
    ],
    ids=["no limit", "at the limit", "harmless", "harmless for so many", "fails"],
)
def test_what_is_not_too_slow(
    slow: float | None, ms: float, usual: float, rows: int, failed: int
) -> None:
    lenient = Judge(slow)
    for _ in range(2 * IN_A_ROW):
        judge(lenient, ms, usual, rows, failed)


def test_a_new_champion_is_timed_with_the_one_before_at_first_and_then_seldom() -> None:
    strict = Judge(slow=5)
    wanted = [strict.wants_witness(2) for _ in range(220)]
    assert wanted[:20] == [True] * 20
    assert [at for at, want in enumerate(wanted, 1) if want and at > 20] == [100, 200]
    judge(strict, 100, 10)
    assert strict.wants_witness(2)
    judge(strict, 10, 10)
    assert not strict.wants_witness(2)
    assert not any(Judge(None).wants_witness(2) for _ in range(30))
