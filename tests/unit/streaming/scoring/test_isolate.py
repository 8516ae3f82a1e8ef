import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.streaming.scoring.isolate import SYSTEMATIC_FAILURE_ROWS, run_isolated


def batch(values: list[int]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"x": pa.array(values, pa.int64())})


def no_thirteen(rows: pa.RecordBatch) -> list[int]:
    values: list[int] = rows.column("x").to_pylist()
    if 13 in values:
        raise ValueError("unlucky")
    return values


@given(st.lists(st.sampled_from([1, 2, 13]), max_size=40))
def test_only_the_failing_rows_are_left_out(values: list[int]) -> None:
    failed: list[tuple[int, str]] = []
    results, rows = run_isolated(
        no_thirteen, batch(values), lambda row, error: failed.append((row, str(error)))
    )
    good = [row for row, value in enumerate(values) if value != 13]
    assert rows.tolist() == good
    assert [value for result in results for value in result] == [values[row] for row in good]
    assert failed == [(row, "unlucky") for row in range(len(values)) if row not in good]


def unexpected(row: int, error: Exception) -> None:
    raise AssertionError(f"row {row} failed: {error}")


def test_a_batch_without_failures_is_one_call() -> None:
    calls = []
    run_isolated(lambda rows: calls.append(len(rows)), batch([1] * 500), unexpected)
    assert calls == [500]


def test_few_rows_that_all_fail_are_bad_data() -> None:
    failed: list[int] = []
    values = [13] * (SYSTEMATIC_FAILURE_ROWS - 1)
    results, rows = run_isolated(no_thirteen, batch(values), lambda row, _: failed.append(row))
    assert (results, rows.tolist(), failed) == ([], [], list(range(SYSTEMATIC_FAILURE_ROWS - 1)))


def test_many_rows_that_all_fail_are_bad_code() -> None:
    with pytest.raises(ValueError, match="unlucky"):
        run_isolated(no_thirteen, batch([13] * SYSTEMATIC_FAILURE_ROWS), unexpected)


def test_many_failing_rows_beside_a_good_one_are_bad_data() -> None:
    failed: list[int] = []
    values = [13] * 1_000 + [1]
    results, _ = run_isolated(no_thirteen, batch(values), lambda row, _: failed.append(row))
    assert [len(result) for result in results] == [1]
    assert failed == list(range(1_000))
