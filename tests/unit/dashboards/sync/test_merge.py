"""The three-way merge, as properties over any trees."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.dashboards.sync.merge import MISSING, ORDER, changes, merge

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
    assert [change.dotted_path for change in merged.conflicts] == ["a"]
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


@st.composite
def ordered(draw: st.DrawFn) -> dict[str, Any]:
    """A mapping with an order, as a parent has it."""
    names = draw(st.lists(st.sampled_from("abcde"), unique=True))
    return {"routes": {**{name: draw(st.integers(0, 1)) for name in names}, ORDER: names}}


def order(tree: dict[str, Any], *others: dict[str, Any]) -> list[str]:
    """The order of what all have."""
    names: list[str] = tree["routes"][ORDER]
    return [name for name in names if all(name in one["routes"] for one in others)]


@given(ordered(), ordered(), ordered(), st.booleans())
def test_an_order_has_every_key_once(base: Any, there: Any, ours: Any, force: bool) -> None:
    merged = merge(base, there, ours, force=force)
    assert sorted(order(merged.value)) == sorted({*merged.value["routes"]} - {ORDER})
    if not merged.conflicts:
        again = merge(ours, merged.value, ours)
        assert (again.value, again.conflicts) == (merged.value, [])


@given(ordered(), ordered(), ordered())
def test_an_order_that_one_side_changed_is_taken(base: Any, there: Any, ours: Any) -> None:
    merged = merge(base, there, ours)
    before, theirs, mine = (
        order(one, base, there, ours, merged.value) for one in (base, there, ours)
    )
    found = order(merged.value, base, there, ours)
    if theirs == before and order(there, base, ours) == order(base, there, ours):
        assert found == mine
    else:
        assert found == theirs


def _routes(names: str, **values: int) -> dict[str, Any]:
    return {"routes": {**dict.fromkeys(names, 0), **values, ORDER: list(names)}}


def test_a_new_key_keeps_its_place_in_an_order_that_people_changed() -> None:
    merged = merge(_routes("ab"), _routes("bxa"), _routes("acb"))
    assert merged.value == _routes("bxac")
    assert merged.conflicts == []


def test_two_orders_are_a_conflict_that_force_settles() -> None:
    three = _routes("abc"), _routes("bac"), _routes("cab")
    assert [change.dotted_path for change in merge(*three).conflicts] == [f"routes.{ORDER}"]
    assert merge(*three).value == three[1]
    assert merge(*three, force=True).value == three[2]


def test_an_order_that_nobody_noted_is_disputed_only_where_it_differs() -> None:
    """As of what an earlier version applied."""
    base = {"routes": {"a": 0, "b": 0}}
    assert merge(base, _routes("ab"), _routes("ab")).conflicts == []
    assert list(changes(base, _routes("ab"))) == []
    assert len(merge(base, _routes("ba"), _routes("ab")).conflicts) == 1
