"""The three-way merge of the last applied tree, the tree in Grafana and the generated tree."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
#: Key in a mapping whose order matters: the list of its other keys, in order.
ORDER = "(order)"


class _Missing:
    def __repr__(self) -> str:
        return "(missing)"


MISSING = _Missing()


@dataclass(frozen=True)
class Change:
    """One different value and its path."""

    path: Path
    old: Any
    new: Any

    @property
    def dotted_path(self) -> str:
        """The path for display."""
        return ".".join(self.path)


@dataclass(frozen=True)
class Merged:
    """The result of a merge.

    Attributes:
        value: the merged tree.
        edits: changes by people since the last apply.
        conflicts: values that people and driftline changed differently; the value in Grafana is
            kept, or replaced with `force`. `old` is the value in Grafana, `new` the generated one.
    """

    value: Any
    edits: list[Change]
    conflicts: list[Change]


def merge(base: Any, live: Any, desired: Any, *, force: bool = False) -> Merged:
    """Apply the changes from `base` to `desired` to the live tree.

    A mapping is merged key by key, anything else as a whole; an `ORDER` by the keys of both sides.

    Parameters:
        base: the last applied tree; `MISSING` if unknown: then every difference between the other
            trees is a conflict.
        live, desired: the tree in Grafana and the generated tree, of mappings.
        force: resolve conflicts in favour of the generated tree.

    >>> merge({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 3, "b": 1}).value
    {'a': 3, 'b': 2}
    """
    conflicts: list[Change] = []
    value = _merged((), (base, live, desired), force, conflicts)
    edits = [] if base is MISSING else list(changes(base, live))
    return Merged(value, edits, conflicts)


def changes(old: Any, new: Any, path: Path = ()) -> Iterator[Change]:
    """Every path where two trees differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if key == ORDER and key not in old:  # an order that was not recorded is not a change
                continue
            yield from changes(old.get(key, MISSING), new.get(key, MISSING), (*path, key))
    elif old != new:
        yield Change(path, old, new)


def _merged(path: Path, sides: tuple[Any, Any, Any], force: bool, conflicts: list[Change]) -> Any:
    base, live, desired = sides
    if desired in (base, live):
        return live
    if live == base and base is not MISSING:
        return desired
    if isinstance(live, dict) and isinstance(desired, dict):
        base = base if isinstance(base, dict) else {}
        return _merged_keys(path, (base, live, desired), force, conflicts)
    if base is MISSING and live is MISSING and path:
        return desired  # added by driftline only
    conflicts.append(Change(path, live, desired))
    return desired if force else live


def _merged_keys(
    path: Path,
    trees: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
    force: bool,
    conflicts: list[Change],
) -> dict[str, Any]:
    base, live, desired = trees
    merged = {}
    for key in _order(live, desired):
        if key == ORDER:
            continue
        sides = (base.get(key, MISSING), live.get(key, MISSING), desired.get(key, MISSING))
        value = _merged((*path, key), sides, force, conflicts)
        if value is not MISSING:
            merged[key] = value
    if ORDER in live and ORDER in desired:
        orders = base.get(ORDER, MISSING), live[ORDER], desired[ORDER]
        order = _merged_order((*path, ORDER), orders, force, conflicts)
        merged[ORDER] = [key for key in order if key in merged]
    return merged


def _merged_order(
    path: Path, orders: tuple[Any, list[str], list[str]], force: bool, conflicts: list[Change]
) -> list[str]:
    """All keys of both sides; keys that one side added or removed do not change the order."""
    base, live, desired = orders
    old = desired if base is MISSING else base
    common = {*old} & {*live} & {*desired}
    old_common, live_common, desired_common = (
        [key for key in order if key in common] for order in (old, live, desired)
    )
    if desired_common == live_common or (desired_common == old_common and base is not MISSING):
        return _order(live, desired)
    if live_common != old_common or base is MISSING:
        conflicts.append(Change(path, live, desired))
        if not force:
            return _order(live, desired)
    return _order(desired, live)


def _order(first: Collection[str], second: Collection[str]) -> list[str]:
    """The first order; keys of the second alone follow their predecessor there."""
    order = list(first)
    previous: str | None = None
    for key in second:
        if key not in first:
            order.insert(order.index(previous) + 1 if previous in order else 0, key)
        previous = key
    return order
