"""The three-way merge: what was applied last, what is there now, what is generated."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Path = tuple[str, ...]


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

    A mapping is merged key by key, anything else as a whole.

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
    if base is MISSING and (there is MISSING or ours is MISSING) and path:
        return ours if there is MISSING else there  # added on one side only
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
        sides = (base.get(key, MISSING), there.get(key, MISSING), ours.get(key, MISSING))
        value = _merged((*path, key), sides, force, conflicts)
        if value is not MISSING:
            made[key] = value
    return made


def _order(there: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Their order, with each key of ours that they lack after the one before it."""
    order = list(there)
    before: str | None = None
    for key in ours:
        if key not in there:
            order.insert(order.index(before) + 1 if before in order else 0, key)
        before = key
    return order
