import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.streaming.scoring.lineup import Lineup, Served, in_canary
from tests.unit.streaming.scoring.test_batch_scorer import FakeRuntime

ONE, TWO, THREE, FOUR = (Served(n, FakeRuntime()) for n in (1, 2, 3, 4))


@given(st.lists(st.text()), st.floats(0, 100), st.floats(0, 100))
def test_a_larger_canary_keeps_the_events_of_a_smaller_one(
    ids: list[str], one: float, other: float
) -> None:
    column = pa.array([text.encode("utf-8", "replace").decode() for text in ids], pa.string())
    small, large = sorted((one, other))
    assert not (in_canary(column, small) & ~in_canary(column, large)).any()
    assert not in_canary(column, 0).any()
    assert in_canary(column, 100).all()


def test_an_event_goes_the_same_way_in_any_process() -> None:
    ids = pa.array([f"e{i}" for i in range(40)])
    assert np.flatnonzero(in_canary(ids, 10)).tolist() == [3, 8, 12, 16, 23, 32]


def test_a_canary_gets_its_share() -> None:
    ids = pa.array([f"event-{i}" for i in range(100_000)])
    for percent in (0.5, 5, 50):
        p = percent / 100
        bound = 5 * (p * (1 - p) / len(ids)) ** 0.5
        assert abs(in_canary(ids, percent).mean() - p) < bound


def test_without_a_version() -> None:
    lineup = Lineup(ONE, TWO, 5.0, (THREE,), FOUR)
    assert list(lineup.loaded()) == [1, 2, 3, 4]
    assert lineup.without(1) == Lineup(FOUR, TWO, 5.0, (THREE,), None)
    assert lineup.without(2) == Lineup(ONE, None, 0.0, (THREE,), FOUR)
    assert lineup.without(3) == Lineup(ONE, TWO, 5.0, (), FOUR)
    assert lineup.without(4) == Lineup(ONE, TWO, 5.0, (THREE,), None)
    assert lineup.without(5) == lineup
    with pytest.raises(LookupError, match="no version can serve in place of version 1"):
        Lineup(ONE).without(1)
