"""The events that end a process are named, all of them and no others."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from driftline.streaming.scoring.crash_search import MAX_EVENTS, Start, search

N = 30


def starts(
    kill: set[int] = frozenset(),  # type: ignore[assignment]
    hang: set[int] = frozenset(),  # type: ignore[assignment]
    raise_at: set[int] = frozenset(),  # type: ignore[assignment]
    once: Path | None = None,
) -> Start:
    """What processes a message; on some it ends, and on any only once where `once` is a file."""

    def process(message: int) -> None:
        if message in raise_at:
            raise ValueError(f"message {message}")
        if message in hang:
            time.sleep(3_600)
        if message in kill and (once is None or not once.exists()):
            if once is not None:
                once.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: process


def found(n: int, features: Start, *versions: Start) -> tuple[set[int], dict[int, str], str]:
    numbered = list(enumerate(versions, 1))
    crashes = search(n, features, numbered, load_seconds=60, row_seconds=0.3)
    return set(crashes.events), crashes.versions, crashes.cause


@settings(max_examples=10)
@given(st.sets(st.integers(0, N - 1), max_size=4))
def test_every_event_that_kills_is_named_and_no_other(killers: set[int]) -> None:
    start = starts(kill=killers)
    events, versions, cause = found(N, start, start)
    first = {0, 1, 2, 3} <= killers  # nothing that passes is near
    assert events == (set() if first else killers)
    assert bool(cause) == first
    assert not versions


def test_how_it_ends_is_told() -> None:
    start = starts(kill={3}, hang={5})
    crashes = search(9, start, [(1, start)], load_seconds=60, row_seconds=0.3)
    assert crashes.events == {
        3: "ends the process with SIGKILL",
        5: "takes longer than 0.3 s",
    }


def test_a_death_that_does_not_come_again_is_no_events_fault(tmp_path: Path) -> None:
    start = starts(kill={3}, once=tmp_path / "once")
    assert found(9, start, start) == (set(), {}, "")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_of_a_few_events_a_version_that_starts_is_the_witness(n: int) -> None:
    start = starts(kill={0})
    assert found(n, start, start) == ({0}, {}, "")


def test_what_ends_on_every_event_is_not_the_fault_of_one() -> None:
    bad = starts(kill=set(range(N)))
    events, versions, cause = found(N, bad, bad)
    assert (events, versions) == (set(), {})
    assert cause == "ends the process with SIGKILL on every event that was tried"
    # the features can be made: it is the version
    assert found(N, starts(), bad) == (set(), {1: cause}, cause)


def test_more_than_a_few_are_not_rejected() -> None:
    bad = starts(kill=set(range(1, 2 * MAX_EVENTS + 3, 2)))
    events, versions, cause = found(60, starts(), bad)
    assert not events
    assert versions == {1: cause}
    assert f"on more than {MAX_EVENTS} of 60 events" in cause


def test_a_version_beside_the_champion_costs_no_event() -> None:
    events, versions, cause = found(N, starts(), starts(kill={2}), starts(), starts(kill={7}))
    assert events == {2}
    assert versions == {3: "ends the process with SIGKILL"}
    assert not cause


def test_an_error_is_reported_and_ends_nothing() -> None:
    start = starts(raise_at={4})
    events, versions, cause = found(N, start, start)
    assert not events
    assert not versions
    assert cause == "fails: ValueError: message 4"


def test_what_cannot_even_start_is_not_the_fault_of_an_event() -> None:
    def dies() -> Callable[[int], object]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    events, versions, cause = found(N, starts(), dies)
    assert not events
    assert cause == "ends the process with SIGKILL"
    assert versions == {1: cause}
