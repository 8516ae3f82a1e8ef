"""Which runner judges which models, and their progress: heartbeats and rounds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from driftline.storage import locks
from driftline.storage.connection import Connection

# A runner without a heartbeat for this long is not alive; its locks ended with its connection.
HEARTBEAT_TIMEOUT = timedelta(seconds=60)
_DELETE_AFTER = timedelta(hours=1)


@dataclass(frozen=True)
class Runner:
    """One row of the table `runner`.

    Attributes:
        shards: the shares of the models that it can serve, even if another runner owns them.
        models: how many models it owns.
        watches: the models that it was started for.
    """

    id: str
    started_at: datetime
    heartbeat_at: datetime
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
        failed_since: when its rounds began to fail; None while they succeed.
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

    The owner writes through the same connection: losing it ends the transaction together with the
    lock, so that two runners never write for one share.
    """
    return locks.acquire(connection, "runner", str(share))


def unlock(connection: Connection, share: int) -> None:
    """Release a share."""
    locks.release(connection, "runner", str(share))


def registered(connection: Connection) -> dict[str, Sequence[int]]:
    """The shares that each connected runner with a recent heartbeat can serve."""
    rows = connection.execute(
        f"""SELECT id, shards FROM driftline.runner
             WHERE heartbeat_at > clock_timestamp() - %s::interval AND stopped_at IS NULL
               AND {locks.is_connected("runner")}""",  # noqa: S608 - a constant
        [HEARTBEAT_TIMEOUT],
    ).fetchall()
    return dict(rows)


def assigned_shares(runner: str, servable: Mapping[str, Collection[int]]) -> set[int]:
    """The shares that a runner should own: each is assigned to the able runner with the fewest.

    All runners compute the same assignment, so a share is released only to a runner that takes it.

    Parameters:
        servable: by runner, the shares that it can serve.

    >>> assigned_shares("a", {"a": [1, 2, 3, 4], "b": [1, 2, 3, 4]})
    {1, 3}
    >>> assigned_shares("a", {"a": [1, 2, 3, 4], "b": [4]})
    {1, 2, 3}
    """
    able_runners: dict[int, list[str]] = {}
    for name in sorted(servable):
        for share in servable[name]:
            able_runners.setdefault(share, []).append(name)
    owned: dict[str, set[int]] = {name: set() for name in servable}
    for share in sorted(able_runners, key=lambda s: (len(able_runners[s]), s)):
        fewest = min(able_runners[share], key=lambda name: len(owned[name]))
        owned[fewest].add(share)
    return owned.get(runner, set())


def heartbeat(
    connection: Connection,
    runner: str,
    *,
    shards: Sequence[int],
    models: int,
    watches: Sequence[str],
    lag_seconds: float | None,
    errors: int,
) -> None:
    """Record that a runner is alive, its session and the shares that it can serve.

    Deletes runners without a heartbeat for an hour.
    """
    connection.execute(
        f"""INSERT INTO driftline.runner (id, shards, models, watches, lag_seconds, errors,
                                         backend_pid, backend_user, backend_start)
            SELECT %s, %s, %s, %s, %s, %s, backend.* FROM ({locks.BACKEND}) AS backend
            ON CONFLICT (id) DO UPDATE
              SET heartbeat_at = clock_timestamp(), stopped_at = NULL,
                  shards = excluded.shards, models = excluded.models, watches = excluded.watches,
                  lag_seconds = excluded.lag_seconds, errors = excluded.errors,
                  backend_pid = excluded.backend_pid, backend_user = excluded.backend_user,
                  backend_start = excluded.backend_start""",  # noqa: S608 - a constant
        (runner, sorted(shards), models, list(watches), lag_seconds, errors),
    )
    connection.execute(
        "DELETE FROM driftline.runner WHERE heartbeat_at < clock_timestamp() - %s::interval",
        [_DELETE_AFTER],
    )


def deregister(connection: Connection, runner: str) -> None:
    """Record that a runner stopped and released its shares, so that others need not wait.

    Its last heartbeat is kept: if no other runner takes over, the alert fires after
    `grafana.heartbeat_timeout`, not immediately.
    """
    connection.execute(
        "UPDATE driftline.runner SET stopped_at = clock_timestamp() WHERE id = %s", [runner]
    )


def alive(connection: Connection) -> list[Runner]:
    """The runners with a heartbeat within the last minute that were not stopped."""
    rows = connection.execute(
        """SELECT id, started_at, heartbeat_at, shards, models, lag_seconds, errors, watches
             FROM driftline.runner
            WHERE heartbeat_at > clock_timestamp() - %s::interval AND stopped_at IS NULL
            ORDER BY id""",
        [HEARTBEAT_TIMEOUT],
    ).fetchall()
    return [Runner(*row) for row in rows]


def progress(connection: Connection, model: str | None = None) -> list[Progress]:
    """The progress of one model, or of all."""
    rows = connection.execute(
        """SELECT model, shard, clock, judged_until, lag_seconds, failed_since, error, updated_at
             FROM driftline.monitor_progress
            WHERE %(model)s::text IS NULL OR model = %(model)s ORDER BY model""",
        {"model": model},
    ).fetchall()
    return [Progress(*row) for row in rows]


def record_success(
    connection: Connection,
    model: str,
    shard: int,
    *,
    clock: datetime | None,
    judged_until: datetime | None,
    lag_seconds: float,
) -> None:
    """Record that a round of a model succeeded."""
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


def record_failure(connection: Connection, model: str, shard: int, error: str) -> None:
    """Record that a round of a model failed."""
    connection.execute(
        """INSERT INTO driftline.monitor_progress (model, shard, failed_since, error)
           VALUES (%s, %s, clock_timestamp(), %s)
           ON CONFLICT (model) DO UPDATE
             SET failed_since = coalesce(monitor_progress.failed_since, clock_timestamp()),
                 error = excluded.error, updated_at = clock_timestamp()""",
        (model, shard, error),
    )
