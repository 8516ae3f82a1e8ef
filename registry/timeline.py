"""Events of several workers at about the same time, merged into one interval."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from driftline.storage.versions.promotions import VersionEvent

_MAX_GAP = timedelta(minutes=5)


@dataclass(frozen=True)
class Span:
    """The same event of one or more workers, between `first` and `last`."""

    first: datetime
    last: datetime
    version: int
    role: str
    kind: str
    workers: tuple[str, ...]
    detail: str


def spans(events: Iterable[VersionEvent]) -> list[Span]:
    """Merge events of the same version, role, kind and detail; in the order of their first events.

    A span has each worker once. A new one begins when a worker repeats the event, after 5 minutes
    without one, or when a version serves again after one of its workers has served another version.
    """
    merged: list[Span] = []
    open_spans: dict[tuple[int, str, str, str], int] = {}  # positions in `merged`
    for event in sorted(events, key=lambda event: event.happened_at):
        open_spans = {key: i for key, i in open_spans.items() if not _ends(merged[i], event)}
        key = (event.version, event.role, event.kind, event.detail)
        index, time = open_spans.get(key), event.happened_at
        if index is not None and _continues(merged[index], event):
            workers = (*merged[index].workers, event.worker)
            merged[index] = replace(merged[index], last=time, workers=workers)
            continue
        open_spans[key] = len(merged)
        version, role, kind, detail = key
        merged.append(Span(time, time, version, role, kind, (event.worker,), detail))
    return merged


def _continues(span: Span, event: VersionEvent) -> bool:
    return event.worker not in span.workers and event.happened_at - span.last < _MAX_GAP


def _ends(span: Span, event: VersionEvent) -> bool:
    """Whether the event is one of the span's workers starting to serve another version."""
    return (
        span.kind == event.kind == "serving"
        and span.version != event.version
        and event.worker in span.workers
    )
