"""Events of several workers as intervals."""

from datetime import UTC, datetime, timedelta

from driftline.registry.timeline import spans
from driftline.storage.versions.promotions import VersionEvent

START = datetime(2026, 3, 1, tzinfo=UTC)


def event(seconds: float, worker: str, kind: str = "swapped", version: int = 2) -> VersionEvent:
    at = START + timedelta(seconds=seconds)
    return VersionEvent(at, version, "champion", kind, worker, "")


def test_workers_that_swap_about_together_are_one_interval() -> None:
    merged = spans([event(0, "a"), event(0.5, "a", "loaded"), event(1.5, "b"), event(2, "c")])
    assert [(span.kind, span.workers) for span in merged] == [
        ("swapped", ("a", "b", "c")),
        ("loaded", ("a",)),
    ]
    assert (merged[0].last - merged[0].first).total_seconds() == 2


def test_again_much_later_and_other_versions_are_others() -> None:
    again = spans([event(0, "a"), event(1, "b"), event(2, "a")])
    assert [span.workers for span in again] == [("a", "b"), ("a",)]
    later = spans([event(0, "a"), event(301, "b")])
    assert [span.workers for span in later] == [("a",), ("b",)]
    assert len(spans([event(0, "a"), event(0, "b", version=3)])) == 2
    assert spans([]) == []


def test_serving_again_after_another_version_is_another_interval() -> None:
    """Also for a worker that is new: it took the place of one that was killed."""
    events = [
        *(event(0, "a", "serving"), event(1, "b", "serving")),
        *(event(2, "a", "serving", 1), event(3, "b", "serving", 1)),
        *(event(4, "c", "serving"), event(5, "b", "serving")),
    ]
    merged = [(span.version, span.workers) for span in spans(events)]
    assert merged == [(2, ("a", "b")), (1, ("a", "b")), (2, ("c", "b"))]
