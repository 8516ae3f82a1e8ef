"""Events of several workers as intervals."""

from datetime import UTC, datetime, timedelta

from driftline.storage.promotions import VersionEvent
from registry.timeline import spans

START = datetime(2026, 3, 1, tzinfo=UTC)


def event(seconds: float, worker: str, kind: str = "swapped", version: int = 2) -> VersionEvent:
    at = START + timedelta(seconds=seconds)
    return VersionEvent(at, version, "champion", kind, worker, "")


def test_workers_that_swap_about_together_are_one_interval() -> None:
    found = spans([event(0, "a"), event(0.5, "a", "loaded"), event(1.5, "b"), event(2, "c")])
    assert [(one.kind, one.workers) for one in found] == [
        ("swapped", ("a", "b", "c")),
        ("loaded", ("a",)),
    ]
    assert (found[0].last - found[0].first).total_seconds() == 2


def test_again_much_later_and_other_versions_are_others() -> None:
    again = spans([event(0, "a"), event(1, "b"), event(2, "a")])
    assert [one.workers for one in again] == [("a", "b"), ("a",)]
    later = spans([event(0, "a"), event(301, "b")])
    assert [one.workers for one in later] == [("a",), ("b",)]
    assert len(spans([event(0, "a"), event(0, "b", version=3)])) == 2
    assert spans([]) == []
