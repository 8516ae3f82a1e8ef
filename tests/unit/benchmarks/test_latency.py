"""When an event was first readable, and how memory is averaged."""

import numpy as np
import pytest

from benchmarks.latency import _Commits
from benchmarks.soak import _mean


def test_an_event_counts_from_the_first_look_that_covers_it() -> None:
    commits = _Commits()
    for now, last in ((1.0, None), (2.0, 4), (3.0, 4), (4.0, 9)):
        commits.add(now, 17, last)
    assert commits.committed_at(17, np.array([0, 4, 5, 9])).tolist() == [2.0, 2.0, 4.0, 4.0]


def test_memory_is_averaged_over_a_stretch_of_the_events() -> None:
    samples = [(events, {"jvm": float(events)}) for events in range(0, 100, 10)]
    assert _mean(samples, 30, 50) == {"jvm": 40.0}


def test_a_stretch_without_a_sample_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="too few events to measure memory"):
        _mean([(0, {"jvm": 1.0})], 30, 50)
