"""Which models are not watched: silence of theirs says nothing about their health."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from driftline.storage.connection import Connection, clock
from driftline.storage.monitoring import runners

#: How long the windows of a model may wait to be judged.
LATE = timedelta(minutes=5)


@dataclass(frozen=True)
class Unwatched:
    """A model whose windows are not judged.

    Attributes:
        since: the last time that they were; None where they never were.
        reason: why not.
        fix: what to do about it.
    """

    model: str
    since: datetime | None
    reason: str
    fix: str


def unwatched(
    connection: Connection, models: Iterable[str], *, judged_within: timedelta | None = None
) -> list[Unwatched]:
    """Those of the models whose windows are not judged at present.

    Parameters:
        judged_within: a model that was judged so recently needs no runner, as where
            `driftline monitor --once` is run by a timer.
    """
    watched = {model for runner in runners.alive(connection) for model in runner.watches}
    known = {one.model: one for one in runners.progress(connection)}
    now, found = clock(connection), []
    for model in models:
        progress = known.get(model)
        if progress is None:
            reason = "no runner has judged it yet" if model in watched else "no runner watches it"
            found.append(Unwatched(model, None, reason, "driftline monitor"))
            continue
        recent = judged_within is not None and now - progress.updated_at <= judged_within
        lag = timedelta(seconds=progress.lag_seconds or 0)
        if progress.failed_since is not None:
            reason = f"judging fails: {progress.error}"
            found.append(Unwatched(model, progress.failed_since, reason, "see the runner's log"))
        elif model not in watched and not recent:
            found.append(
                Unwatched(model, progress.updated_at, "no runner watches it", "driftline monitor")
            )
        elif lag > LATE:
            reason = f"windows wait to be judged for {lag.total_seconds():,.0f} s"
            found.append(Unwatched(model, progress.updated_at, reason, "start another runner"))
    return found
