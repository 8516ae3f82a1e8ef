"""Which champion was the one before."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.storage.versions.promotions import Decision, rollback_target

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def decided(*line: tuple[Any, int]) -> list[Decision]:
    return [Decision(NOW, version, None, kind, "me", None, None) for kind, version in line]


def after(previous: int, *line: tuple[Any, int]) -> list[Decision]:
    """Decisions after a champion that was registered as such."""
    first, *rest = decided(*line)
    return [replace(first, previous=previous), *rest]


PROMOTED = decided(("first", 1), ("promoted", 2), ("refused", 9), ("forced", 3))


@pytest.mark.parametrize(
    ("history", "current", "barred", "expected"),
    [
        (PROMOTED, 3, set(), 2),
        (PROMOTED, 3, {2}, 1),
        (PROMOTED, 7, set(), 3),  # moved outside driftline
        (PROMOTED, 2, set(), 3),  # likewise, to an earlier champion
        (PROMOTED, 1, set(), 3),
        (PROMOTED, 2, {3}, 1),  # the job went back from 3 by itself
        (PROMOTED, None, set(), 3),  # the alias was deleted
        (PROMOTED, 3, {1, 2}, None),
        ([], 1, set(), None),
        (PROMOTED + decided(("rolled_back", 2)), 2, set(), 1),  # not back to 3
        (PROMOTED + decided(("rolled_back", 2), ("promoted", 4)), 4, set(), 2),
        (decided(("first", 1), ("promoted", 2), ("promoted", 1)), 1, set(), 2),
        (PROMOTED + decided(("rolled_back", 5)), 5, set(), 3),
        (after(1, ("forced", 2)), 2, set(), 1),
        (after(1, ("forced", 2), ("rolled_back", 1)), 1, set(), None),
        (after(1, ("refused", 2), ("promoted", 3)), 3, set(), None),  # nobody says what was before
    ],
)
def test_the_champion_before(
    history: list[Decision], current: int | None, barred: set[int], expected: int | None
) -> None:
    assert rollback_target(history, current, barred) == expected


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_rolling_back_again_and_again_ends(versions: list[int]) -> None:
    history = decided(*(("promoted", version) for version in versions))
    current: int | None = versions[-1]
    for _ in range(len(versions) + 1):
        version = rollback_target(history, current, set())
        if version is None:
            return
        assert version != current
        history += decided(("rolled_back", version))
        current = version
    pytest.fail("never came to the end")
