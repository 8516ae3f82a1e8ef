"""Versions that take far longer than another one for the same rows."""

import numpy as np
import pyarrow as pa
import pytest

from driftline.streaming.scoring.rejects import Reason
from driftline.streaming.scoring.score import Scored
from driftline.streaming.scoring.version_fault import FaultDetector, FaultyVersionError

IN_A_ROW = 5


def scored(ms: float, rows: int = 1_000, failed: int = 0) -> Scored:
    ok = np.arange(rows) >= failed
    reasons = {row: Reason("model_failed", "boom") for row in range(failed)}
    return Scored(np.ones(rows), pa.nulls(rows, pa.string()), ok, reasons, failed, None, ms)


def check(
    detector: FaultDetector, ms: float, usual: float, rows: int = 1_000, failed: int = 0
) -> None:
    result = scored(ms, rows, failed)
    detector.record(2, result)
    detector.check(2, result, 1, scored(usual, rows))


def test_ten_times_as_long_again_and_again_is_too_slow() -> None:
    strict = FaultDetector(max_slowdown=5)
    for _ in range(IN_A_ROW - 1):
        check(strict, 100, 10)
    with pytest.raises(FaultyVersionError) as error:
        check(strict, 100, 10)
    assert (error.value.version, error.value.reason) == (2, "too_slow")
    assert error.value.detail == (
        "it took 100.0 ms for 1,000 events, version 1 10.0 ms: over 5x in 5 batches in a row "
        "(registry.max_slowdown)"
    )


def test_one_batch_in_time_begins_the_count_anew() -> None:
    strict = FaultDetector(max_slowdown=5)
    for _ in range(3):
        for _ in range(IN_A_ROW - 1):
            check(strict, 100, 10)
        check(strict, 50, 10)


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
    lenient = FaultDetector(slow)
    for _ in range(2 * IN_A_ROW):
        check(lenient, ms, usual, rows, failed)


def test_a_new_champion_is_timed_with_the_one_before_at_first_and_then_seldom() -> None:
    strict = FaultDetector(max_slowdown=5)
    needed = [strict.needs_baseline(2) for _ in range(220)]
    assert needed[:20] == [True] * 20
    assert [at for at, want in enumerate(needed, 1) if want and at > 20] == [100, 200]
    check(strict, 100, 10)
    assert strict.needs_baseline(2)
    check(strict, 10, 10)
    assert not strict.needs_baseline(2)
    assert not any(FaultDetector(None).needs_baseline(2) for _ in range(30))
