"""Which models are not watched: without alerts, their health is unknown, not good."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from driftline.storage.connection import Connection, clock
from driftline.storage.monitoring import runners

#: The longest that the windows of a model may wait to be judged.
MAX_LAG = timedelta(minutes=5)


@dataclass(frozen=True)
class Unwatched:
    """A model whose windows are not judged.

    Attributes:
        since: when they were last judged; None if never.
        reason: why they are not.
        fix: what to do about it.
    """

    model: str
    since: datetime | None
    reason: str
    fix: str


def unwatched(
    connection: Connection, models: Iterable[str], *, judged_within: timedelta | None = None
) -> list[Unwatched]:
    """The models whose windows are currently not judged.

    Parameters:
        judged_within: a model that was judged this recently needs no runner, as when a timer runs
            `driftline monitor --once`.
    """
    watched = {model for runner in runners.alive(connection) for model in runner.watches}
    progress_of = {progress.model: progress for progress in runners.progress(connection)}
    now, result = clock(connection), []
    for model in models:
        progress = progress_of.get(model)
        if progress is None:
            reason = "no runner has judged it yet" if model in watched else "no runner watches it"
            result.append(Unwatched(model, None, reason, "driftline monitor"))
            continue
        recent = judged_within is not None and now - progress.updated_at <= judged_within
        lag = timedelta(seconds=progress.lag_seconds or 0)
        if progress.failed_since is not None:
            reason = f"judging fails: {progress.error}"
            result.append(Unwatched(model, progress.failed_since, reason, "see the runner's log"))
        elif model not in watched and not recent:
            result.append(
                Unwatched(model, progress.updated_at, "no runner watches it", "driftline monitor")
            )
        elif lag > MAX_LAG:
            reason = f"windows wait to be judged for {lag.total_seconds():,.0f} s"
            result.append(Unwatched(model, progress.updated_at, reason, "start another runner"))
    return result
