"""The three-way merge: what was applied last, what is there now, what is generated."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]
#: In a mapping whose order means something: its own other keys, in order.
ORDER = "(order)"


class _Missing:
    def __repr__(self) -> str:
        return "(not there)"


MISSING = _Missing()


@dataclass(frozen=True)
class Change:
    """One value that differs, by its path."""

    path: Path
    old: Any
    new: Any

    @property
    def where(self) -> str:
        """The path for people."""
        return ".".join(self.path)


@dataclass(frozen=True)
class Merged:
    """What comes of it.

    Attributes:
        value: the merged tree.
        edits: what people changed since it was applied.
        conflicts: changed by people and by us in different ways; theirs was kept, or ours with
            `force`. `old` is there now, `new` is generated.
    """

    value: Any
    edits: list[Change]
    conflicts: list[Change]


def merge(base: Any, there: Any, ours: Any, *, force: bool = False) -> Merged:
    """Put our changes since `base` onto what is there.

    A mapping is merged key by key, anything else as a whole; an `ORDER` by what both sides have.

    Parameters:
        base: what was applied last; `MISSING` when nothing is known, and then every difference
            between `there` and `ours` is a conflict.
        there, ours: trees of mappings.
        force: settle conflicts by ours instead of theirs.

    >>> merge({"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 3, "b": 1}).value
    {'a': 3, 'b': 2}
    """
    conflicts: list[Change] = []
    value = _merged((), (base, there, ours), force, conflicts)
    known = {} if base is MISSING else base
    edits = [] if base is MISSING else list(changes(known, there))
    return Merged(value, edits, conflicts)


def changes(old: Any, new: Any, path: Path = ()) -> Iterator[Change]:
    """Every path where two trees differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            if key == ORDER and key not in old:  # of one that nobody noted it is no news
                continue
            yield from changes(old.get(key, MISSING), new.get(key, MISSING), (*path, key))
    elif old != new:
        yield Change(path, old, new)


def _merged(path: Path, three: tuple[Any, Any, Any], force: bool, conflicts: list[Change]) -> Any:
    base, there, ours = three
    if ours in (base, there):
        return there
    if there == base and base is not MISSING:
        return ours
    if isinstance(there, dict) and isinstance(ours, dict):
        known = base if isinstance(base, dict) else {}
        return _merged_keys(path, (known, there, ours), force, conflicts)
    if base is MISSING and there is MISSING and path:
        return ours  # added on our side only
    conflicts.append(Change(path, there, ours))
    return ours if force else there


def _merged_keys(
    path: Path,
    three: tuple[dict[str, Any], dict[str, Any], dict[str, Any]],
    force: bool,
    conflicts: list[Change],
) -> dict[str, Any]:
    base, there, ours = three
    made = {}
    for key in _order(there, ours):
        if key == ORDER:
            continue
        sides = (base.get(key, MISSING), there.get(key, MISSING), ours.get(key, MISSING))
        value = _merged((*path, key), sides, force, conflicts)
        if value is not MISSING:
            made[key] = value
    if ORDER in there and ORDER in ours:
        orders = base.get(ORDER, MISSING), there[ORDER], ours[ORDER]
        order = _merged_order((*path, ORDER), orders, force, conflicts)
        made[ORDER] = [key for key in order if key in made]
    return made


def _merged_order(
    path: Path, three: tuple[Any, list[str], list[str]], force: bool, conflicts: list[Change]
) -> list[str]:
    """All keys of both; what one side alone has added or removed is no change of order."""
    base, there, ours = three
    known = ours if base is MISSING else base
    common = {*known} & {*there} & {*ours}
    before, theirs, mine = ([key for key in one if key in common] for one in (known, there, ours))
    if mine == theirs or (mine == before and base is not MISSING):
        return _order(there, ours)
    if theirs != before or base is MISSING:
        conflicts.append(Change(path, there, ours))
        if not force:
            return _order(there, ours)
    return _order(ours, there)


def _order(there: Collection[str], ours: Collection[str]) -> list[str]:
    """Their order, with each key of ours that they lack after the one before it."""
    order = list(there)
    before: str | None = None
    for key in ours:
        if key not in there:
            order.insert(order.index(before) + 1 if before in order else 0, key)
        before = key
    return order
