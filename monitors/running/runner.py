"""The long-lived process that judges windows: `driftline monitor`.

Models are dealt into shards by a stable hash. A runner owns its models of a shard by a
session lock of the connection that it also writes with, so that whoever lost the lock has lost the
transaction too. Runners that watch different models of a shard each own theirs; what both watch is
judged by whoever comes first, as a round of a model excludes every other.
All that a round of a model finds is one transaction: a runner that is killed has judged a window
whole or not at all, and what to judge next follows from what is stored.
"""

import importlib
import logging
import os
import socket
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg

from driftline.config import Config
from driftline.errors import ConfigError, ServiceError
from driftline.monitors.alerts.alerting import Alerting
from driftline.monitors.alerts.deliver import deliver
from driftline.monitors.alerts.grafana_watch import GrafanaWatch
from driftline.monitors.running.heartbeat import Heartbeat
from driftline.monitors.running.late_labels import LateTruth
from driftline.monitors.running.metrics import Metrics
from driftline.monitors.running.window_judging import Due, Watch
from driftline.monitors.stream.realtime_checks import Pulse
from driftline.storage import locks
from driftline.storage.connection import Connection, clock, connect
from driftline.storage.monitoring import notifications, runners
from driftline.storage.profiles import dirty_minutes
from driftline.storage.reconnect import LOCK_TIMEOUT

log = logging.getLogger(__name__)

_BEAT = 10.0  # seconds between heartbeats in the database
_OFTEN = timedelta(seconds=30)  # late events are looked at so often where the real time decides
_LONGEST_PAUSE = 60.0  # seconds, after failures
_LAST_DELIVERY = 30.0  # seconds that a delivery may still take at the end
_LOST = (psycopg.OperationalError, psycopg.InterfaceError, ServiceError)


def shard_of(model: str, shards: int) -> int:
    """The shard of a model, the same in every process.

    >>> shard_of("payments", 16)
    2
    """
    return zlib.crc32(model.encode()) % shards


def share_of(shard: int, models: Iterable[str]) -> int:
    """A runner's models of one shard as a 32-bit number: the same for all that watch the same."""
    return zlib.crc32("\0".join((str(shard), *sorted(models))).encode()) - 2**31


@dataclass
class Watched:
    """One model, and when to look at it again."""

    watch: Watch
    pulse: Pulse
    truth: LateTruth
    alerting: Alerting
    shard: int
    next_at: datetime | None = None
    seen_at: datetime | None = None
    failures: int = 0
    not_before: float = 0.0
    lag: float = 0.0
    more: bool = field(default=True)
    busy: bool = False


@dataclass(frozen=True)
class Round:
    """What one pass over all models did.

    Attributes:
        busy: models that another runner or a backfill was judging.
    """

    windows: int
    failed: int
    more: bool
    busy: int = 0


class Runner:
    """Judges the windows of its share of the models, until it is stopped.

    Parameters:
        config: of all models.
        models: only these; default: all.

    Attributes:
        id: no other runner has it.
        started: by the database's clock; None before the database has answered.
    """

    def __init__(self, config: Config, models: Sequence[str] | None = None) -> None:
        self._config = config
        names = list(models or config.models)
        self._models = {name: self._watched(name) for name in names}
        if not names:
            raise ConfigError("no models in the config: nothing to monitor")
        self.id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.metrics = Metrics()
        self._grafana = GrafanaWatch(config)
        self._heartbeat = Heartbeat(config.runner.heartbeat)
        self._stop = threading.Event()
        self._shares = self._dealt()
        self._shards: set[int] = set()
        self._beat_at = 0.0
        self._told = 0  # models in the last heartbeat
        self._errors = 0
        self.started: datetime | None = None
        self._connection: Connection | None = None
        self._delivery: threading.Thread | None = None

    @property
    def models(self) -> list[str]:
        """The names of the models that it watches."""
        return list(self._models)

    def stop(self) -> None:
        """End after the model that is judged now; may be called from a signal handler."""
        self._stop.set()

    def run(
        self,
        *,
        once: bool = False,
        until_idle: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Judge until stopped; gives how many windows were judged.

        Parameters:
            once: one pass over all models, with all windows that are due.
            until_idle: until nothing is left; the stream has ended, so that windows whose
                lateness has not passed are judged too.
            progress: called with the number of windows so far.

        Raises:
            ServiceError: with `once`, the database is unavailable; otherwise the runner tries
                again.
        """
        if self._config.runner.metrics_port is not None:
            self.metrics.serve(self._config.runner.metrics_port)
        if self._config.notify.urls:  # seconds that the first message need not wait
            threading.Thread(target=importlib.import_module, args=("apprise",), daemon=True).start()
        pause, windows = 0.0, 0
        try:
            while not self._stop.is_set():
                try:
                    done = self.round(ended=until_idle, everything=once or until_idle)
                    pause = 0.0
                except _LOST as error:
                    if once and isinstance(error, ServiceError):
                        raise
                    pause = min(max(2 * pause, 1.0), _LONGEST_PAUSE)
                    log.warning(
                        "database unavailable (%s): retrying in %.0f s", _first(error), pause
                    )
                    self._disconnect()
                    self._stop.wait(pause)
                    continue
                windows += done.windows
                progress(windows)
                if done.more:
                    if done.busy and not done.windows:
                        self._stop.wait(self._config.runner.poll.total_seconds())
                    continue
                if once or (until_idle and not done.windows):
                    break
                self._stop.wait(self._config.runner.poll.total_seconds())
        finally:
            self._leave()
        return windows

    def round(self, *, ended: bool = False, everything: bool = False) -> Round:
        """One pass over the models of the owned shards, and over the outbox.

        Parameters:
            ended: as of `Watch.due`.
            everything: also models that have nothing to expect.
        """
        connection = self._connected()
        self._share(connection)
        mine = {n: one for n, one in self._models.items() if one.shard in self._shards}
        marked = dirty_minutes.models(connection, list(mine))
        windows = failed = busy = 0
        for name, one in mine.items():
            if self._stop.is_set():
                break
            now = clock(connection)
            if not (everything or self._is_due(name, one, now, marked)):
                continue
            if time.monotonic() < one.not_before:
                continue
            one.busy = False
            judged = self._attempt(connection, name, one, now, ended=ended)
            windows += judged or 0
            failed += judged is None
            busy += one.busy
            self._beat(connection, mine)
        self._deliver(connection)
        self._beat(connection, mine, force=everything or len(mine) != self._told)
        if not failed:
            self._heartbeat.beat()
            self.metrics.beat.set_to_current_time()
        return Round(windows, failed, any(one.more for one in mine.values()), busy)

    def _watched(self, name: str) -> Watched:
        model = self._config.model(name)
        return Watched(
            Watch(name, model),
            Pulse(name, model),
            LateTruth(name, model),
            Alerting(name, model, self._config.notify.link),
            shard_of(name, self._config.runner.shards),
        )

    def _is_due(self, name: str, one: Watched, now: datetime, marked: set[str]) -> bool:
        if one.more or one.next_at is None or now >= one.next_at or one.pulse.due(now):
            return True
        wall = one.watch.settings.clock == "wall"
        rested = one.seen_at is None or now - one.seen_at >= _OFTEN
        return name in marked and (rested or not wall)

    def _attempt(
        self, connection: Connection, name: str, one: Watched, now: datetime, *, ended: bool
    ) -> int | None:
        """One model's round; None when it failed, which stops no other model."""
        try:
            with self.metrics.round.time():
                windows = self._round_of(connection, name, one, now, ended=ended)
        except Exception as error:
            if isinstance(error, _LOST) and (connection.closed or connection.broken):
                raise
            log.exception("the round of model %s failed", name)
            self._failed(connection, name, one, error)
        else:
            one.failures, one.not_before = 0, 0.0
            return windows
        return None

    def _round_of(
        self, connection: Connection, name: str, one: Watched, now: datetime, *, ended: bool
    ) -> int:
        with locks.try_transaction(connection, "round", name) as free:
            if not free:
                one.busy = one.more = True
                return 0
            due = one.watch.due(connection, now, ended=ended)
            fresh = one.watch.judge(connection, due)
            looks = one.pulse.judge(connection, now) if one.pulse.due(now) else []
            looks += one.truth.judge(connection, due.clock, fresh, ended=ended)
            # after a failed round its row says so, though nothing new may have come since
            if fresh or looks or one.failures or one.seen_at is None:
                one.alerting.apply(connection, [*fresh, *looks])
            one.lag = _lag(due, due.clock or now) if due.more else 0.0
            runners.advance(
                connection,
                name,
                one.shard,
                clock=due.clock,
                judged_until=max((f.end for f in fresh), default=None),
                lag_seconds=one.lag,
            )
        one.pulse.keep()
        one.seen_at, one.more = now, due.more > 0 or one.truth.more
        one.next_at = one.watch.next_close(now)
        self.metrics.windows.inc(len(fresh))
        self.metrics.revised.inc(sum(f.revised for f in fresh))
        return len(fresh)

    def _failed(self, connection: Connection, name: str, one: Watched, error: Exception) -> None:
        """Say it where it is seen, and leave the model alone for a while."""
        one.failures += 1
        one.more = False
        one.not_before = time.monotonic() + min(2.0**one.failures, _LONGEST_PAUSE)
        self._errors += 1
        self.metrics.errors.inc()
        why = f"{type(error).__name__}: {error}"
        try:
            with connection.transaction():
                runners.fail(connection, name, one.shard, why)
                one.alerting.broken(connection, why)
        except psycopg.Error:
            if connection.closed or connection.broken:
                raise
            log.exception("that model %s failed could not be stored", name)  # such as a full disk

    def _dealt(self) -> dict[int, int]:
        """Shard -> what this runner serves of it."""
        of: dict[int, list[str]] = {}
        for name, one in self._models.items():
            of.setdefault(one.shard, []).append(name)
        return {shard: share_of(shard, models) for shard, models in of.items()}

    def _share(self, connection: Connection) -> None:
        """Own what is dealt to this runner among those that are there, as soon as it is free."""
        there = runners.attending(connection)
        mine = runners.dealt(self.id, {**there, self.id: list(self._shares.values())})
        wanted = {shard for shard, share in self._shares.items() if share in mine}
        for shard in self._shards - wanted:
            runners.unlock(connection, self._shares[shard])
        self._shards &= wanted
        for shard in sorted(wanted - self._shards):
            if runners.lock(connection, self._shares[shard]):
                self._shards.add(shard)
                for one in self._models.values():
                    if one.shard == shard:
                        one.next_at, one.seen_at, one.more = None, None, True

    def _beat(
        self, connection: Connection, mine: dict[str, Watched], *, force: bool = False
    ) -> None:
        if not force and time.monotonic() - self._beat_at < _BEAT:
            return
        self._beat_at, self._told = time.monotonic(), len(mine)
        lag = max((one.lag for one in mine.values()), default=0.0)
        runners.beat(
            connection,
            self.id,
            shards=list(self._shares.values()),
            models=len(mine),
            watches=self.models,
            lag_seconds=lag,
            errors=self._errors,
        )
        self.metrics.lag.set(lag)
        self.metrics.models.set(len(mine))
        self.metrics.shards.set(len(self._shards))

    def _deliver(self, connection: Connection) -> None:
        """In a thread with a connection of its own: a slow receiver holds no window up."""
        busy = self._delivery is not None and self._delivery.is_alive()
        if not busy and notifications.waiting(connection):
            self._delivery = threading.Thread(target=self._deliver_now, daemon=True)
            self._delivery.start()

    def _deliver_now(self) -> None:
        try:
            with connect(self._config.local_postgres(), "write", autocommit=True) as connection:
                self.metrics.sent.inc(deliver(self._config, connection, self._grafana))
        except Exception:  # a channel that fails must not stop the judging
            log.exception("notifications could not be delivered")

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._shards = set()
            self._connection = connect(
                self._config.local_postgres(),
                "write",
                lock_timeout=LOCK_TIMEOUT,
                autocommit=True,
                application_name="driftline-monitor",
            )
            self.started = self.started or clock(self._connection)
            self._beat(self._connection, {}, force=True)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _leave(self) -> None:
        if self._delivery is not None:
            self._delivery.join(_LAST_DELIVERY)
        if self._connection is not None and not self._connection.closed:
            try:
                for shard in self._shards:
                    runners.unlock(self._connection, self._shares[shard])
                runners.deregister(self._connection, self.id)
            except psycopg.Error as error:
                log.warning("could not deregister the runner (%s)", _first(error))
        self._disconnect()


def _lag(due: Due, now: datetime) -> float:
    """How long the oldest window that is still due has waited, by the model's own clock."""
    if due.waited_since is None:
        return 0.0
    return max((now - due.waited_since).total_seconds(), 0.0)


def _first(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
