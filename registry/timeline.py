"""What several workers did at about the same time, as one interval."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from driftline.storage.versions.promotions import VersionEvent

_APART = timedelta(minutes=5)


@dataclass(frozen=True)
class Span:
    """The same thing done by one or more workers, between `first` and `last`."""

    first: datetime
    last: datetime
    version: int
    role: str
    kind: str
    workers: tuple[str, ...]
    detail: str


def spans(events: Iterable[VersionEvent]) -> list[Span]:
    """Events of the same version, role, kind and detail, each worker once, in order of the first.

    A worker that does it again, or 5 minutes without one, begins a new interval; so does serving
    again after one of its workers has served another version.
    """
    done: list[Span] = []
    open_at: dict[tuple[object, ...], int] = {}
    for one in sorted(events, key=lambda event: event.happened_at):
        open_at = {key: at for key, at in open_at.items() if not _ends(done[at], one)}
        key = (one.version, one.role, one.kind, one.detail)
        at = open_at.get(key)
        if at is not None and _continues(done[at], one):
            workers = (*done[at].workers, one.worker)
            done[at] = replace(done[at], last=one.happened_at, workers=workers)
            continue
        open_at[key] = len(done)
        when = one.happened_at
        done.append(Span(when, when, one.version, one.role, one.kind, (one.worker,), one.detail))
    return done


def _continues(span: Span, event: VersionEvent) -> bool:
    return event.worker not in span.workers and event.happened_at - span.last < _APART


def _ends(span: Span, event: VersionEvent) -> bool:
    """Whether a worker of it serves another version from now on."""
    return (
        span.kind == event.kind == "serving"
        and span.version != event.version
        and event.worker in span.workers
    )
