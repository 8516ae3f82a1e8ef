"""Who judges which models, and how far it is: heartbeats and progress."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from driftline.storage import locks
from driftline.storage.connection import Connection

# A runner that was not heard of for so long does not count; its locks are gone with its connection.
SILENT = timedelta(seconds=60)
_FORGOTTEN = timedelta(hours=1)


@dataclass(frozen=True)
class Runner:
    """One row of the table `runner`.

    Attributes:
        shards: the shares of the models that it can serve, whoever owns them.
        models: how many of them it owns.
        watches: the models that it was started for.
    """

    id: str
    started_at: datetime
    beat_at: datetime
    shards: Sequence[int]
    models: int
    lag_seconds: float | None
    errors: int
    watches: Sequence[str]


@dataclass(frozen=True)
class Progress:
    """How far one model is judged.

    Attributes:
        clock: the time that decides which windows have ended.
        judged_until: the end of the newest judged window.
        lag_seconds: how long the oldest window that should be judged has waited.
        failed_since: since when its rounds fail; None while they succeed.
        updated_at: when its last round ended.
    """

    model: str
    shard: int
    clock: datetime | None
    judged_until: datetime | None
    lag_seconds: float | None
    failed_since: datetime | None
    error: str
    updated_at: datetime


def lock(connection: Connection, share: int) -> bool:
    """Try to own a share of the models for as long as the connection lives.

    Everything that the owner writes goes through the same connection: when it is lost, the
    transaction is lost with the lock, so that two never write for one share.
    """
    return locks.take(connection, "runner", str(share))


def unlock(connection: Connection, share: int) -> None:
    """Give a share up."""
    locks.release(connection, "runner", str(share))


def attending(connection: Connection) -> dict[str, Sequence[int]]:
    """What the runners that are connected and were heard of within the last minute can serve."""
    rows = connection.execute(
        f"""SELECT id, shards FROM driftline.runner
             WHERE beat_at > clock_timestamp() - %s::interval AND stopped_at IS NULL
               AND {locks.is_connected("runner")}""",  # noqa: S608 - a constant
        [SILENT],
    ).fetchall()
    return dict(rows)


def dealt(runner: str, wanted: Mapping[str, Collection[int]]) -> set[int]:
    """The shares that a runner should own: each goes to one that can serve it and has fewest.

    All runners find the same, so a share is given up only to one that takes it.

    Parameters:
        wanted: by runner, the shares that it can serve.

    >>> dealt("a", {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]})
    {1, 3}
    >>> dealt("a", {"a": [1, 2, 3, 4], "b": [4]})
    {1, 2, 3}
    """
    able: dict[int, list[str]] = {}
    for one in sorted(wanted):
        for share in wanted[one]:
            able.setdefault(share, []).append(one)
    owned: dict[str, set[int]] = {one: set() for one in wanted}
    for share in sorted(able, key=lambda s: (len(able[s]), s)):
        fewest = min(able[share], key=lambda one: len(owned[one]))
        owned[fewest].add(share)
    return owned.get(runner, set())


def beat(
    connection: Connection,
    runner: str,
    *,
    shards: Sequence[int],
    models: int,
    watches: Sequence[str],
    lag_seconds: float | None,
    errors: int,
) -> None:
    """Record that a runner is alive, and which shares it can serve; its connection stands for it.

    Runners that have not reported for an hour are deleted.
    """
    connection.execute(
        f"""INSERT INTO driftline.runner (id, shards, models, watches, lag_seconds, errors,
                                         backend_pid, backend_user, backend_start)
            SELECT %s, %s, %s, %s, %s, %s, backend.* FROM ({locks.BACKEND}) AS backend
            ON CONFLICT (id) DO UPDATE
              SET beat_at = clock_timestamp(), stopped_at = NULL,
                  shards = excluded.shards, models = excluded.models, watches = excluded.watches,
                  lag_seconds = excluded.lag_seconds, errors = excluded.errors,
                  backend_pid = excluded.backend_pid, backend_user = excluded.backend_user,
                  backend_start = excluded.backend_start""",  # noqa: S608 - a constant
        (runner, sorted(shards), models, list(watches), lag_seconds, errors),
    )
    connection.execute(
        "DELETE FROM driftline.runner WHERE beat_at < clock_timestamp() - %s::interval",
        [_FORGOTTEN],
    )


def deregister(connection: Connection, runner: str) -> None:
    """A runner ends, and has released its shares: the others need not wait for the server.

    Its last heartbeat is kept: if no other runner takes over, that is noticed after
    `grafana.heartbeat`, and not at once.
    """
    connection.execute(
        "UPDATE driftline.runner SET stopped_at = clock_timestamp() WHERE id = %s", [runner]
    )


def alive(connection: Connection) -> list[Runner]:
    """The runners that have reported within the last minute and were not stopped."""
    rows = connection.execute(
        """SELECT id, started_at, beat_at, shards, models, lag_seconds, errors, watches
             FROM driftline.runner
            WHERE beat_at > clock_timestamp() - %s::interval AND stopped_at IS NULL
            ORDER BY id""",
        [SILENT],
    ).fetchall()
    return [Runner(*row) for row in rows]


def progress(connection: Connection, model: str | None = None) -> list[Progress]:
    """How far a model is judged, or all of them."""
    rows = connection.execute(
        """SELECT model, shard, clock, judged_until, lag_seconds, failed_since, error, updated_at
             FROM driftline.monitor_progress
            WHERE %(model)s::text IS NULL OR model = %(model)s ORDER BY model""",
        {"model": model},
    ).fetchall()
    return [Progress(*row) for row in rows]


def advance(
    connection: Connection,
    model: str,
    shard: int,
    *,
    clock: datetime | None,
    judged_until: datetime | None,
    lag_seconds: float,
) -> None:
    """A round of a model has succeeded."""
    connection.execute(
        """INSERT INTO driftline.monitor_progress (model, shard, clock, judged_until, lag_seconds)
           VALUES (%s, %s, %s, %s, %s)
           ON CONFLICT (model) DO UPDATE
             SET shard = excluded.shard, clock = excluded.clock,
                 judged_until = coalesce(excluded.judged_until, monitor_progress.judged_until),
                 lag_seconds = excluded.lag_seconds, failed_since = NULL, error = '',
                 updated_at = clock_timestamp()""",
        (model, shard, clock, judged_until, lag_seconds),
    )


def fail(connection: Connection, model: str, shard: int, error: str) -> None:
    """A round of a model has failed."""
    connection.execute(
        """INSERT INTO driftline.monitor_progress (model, shard, failed_since, error)
           VALUES (%s, %s, clock_timestamp(), %s)
           ON CONFLICT (model) DO UPDATE
             SET failed_since = coalesce(monitor_progress.failed_since, clock_timestamp()),
                 error = excluded.error, updated_at = clock_timestamp()""",
        (model, shard, error),
    )
