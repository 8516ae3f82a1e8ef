"""The three-way merge, as properties over any trees."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.merge import MISSING, changes, merge

KEYS = st.sampled_from(["a", "b", "c"])
TREES = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
ROOTS = st.dictionaries(KEYS, TREES, max_size=3)


@given(ROOTS, ROOTS)
def test_what_only_we_changed_arrives(base: Any, ours: Any) -> None:
    merged = merge(base, base, ours)
    assert (merged.value, merged.edits, merged.conflicts) == (ours, [], [])


@given(ROOTS, ROOTS)
def test_what_only_they_changed_stays(base: Any, there: Any) -> None:
    merged = merge(base, there, base)
    assert (merged.value, merged.conflicts) == (there, [])
    assert merged.edits == list(changes(base, there))


@given(ROOTS, ROOTS)
def test_the_same_change_on_both_sides_is_no_conflict(base: Any, both: Any) -> None:
    merged = merge(base, both, both)
    assert (merged.value, merged.conflicts) == (both, [])


@given(ROOTS, ROOTS, ROOTS)
def test_conflicts_alone_are_settled_by_force(base: Any, there: Any, ours: Any) -> None:
    merged = merge(base, there, ours)
    forced = merge(base, there, ours, force=True)
    assert merged.conflicts == forced.conflicts
    disputed = {change.path for change in merged.conflicts}
    for change in changes(merged.value, forced.value):
        assert any(change.path[: len(path)] == path for path in disputed)


@given(ROOTS, ROOTS, ROOTS)
def test_merging_again_changes_nothing(base: Any, there: Any, ours: Any) -> None:
    merged = merge(base, there, ours)
    if not merged.conflicts:
        again = merge(ours, merged.value, ours)
        assert (again.value, again.conflicts) == (merged.value, [])


def test_nothing_known_makes_every_difference_a_conflict() -> None:
    merged = merge(MISSING, {"a": 1, "c": 1}, {"a": 2, "b": 2})
    assert [change.where for change in merged.conflicts] == ["a"]
    assert merged.value == {"a": 1, "b": 2, "c": 1}


@pytest.mark.parametrize(
    ("base", "there", "ours"),
    [
        ({"a": {"x": 1}}, {}, {"a": {"x": 2}}),  # deleted there, changed by us
        ({"a": {"x": 1}}, {"a": {"x": 2}}, {}),  # changed there, deleted by us
        ({"a": 1}, {"a": 2}, {"a": 3}),
    ],
)
def test_true_conflicts_are_left(base: Any, there: Any, ours: Any) -> None:
    merged = merge(base, there, ours)
    assert len(merged.conflicts) == 1
    assert merged.value == there
    assert merge(base, there, ours, force=True).value == ours
