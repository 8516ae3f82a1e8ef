"""The long-lived process that judges windows: `driftline monitor`.

Models are assigned to shards by a stable hash. A runner owns its models of a shard by a session
lock of the connection that it also writes with, so that losing the lock means losing the
transaction too. Runners that monitor different models of a shard each own their models; a model
that both monitor is judged by the first one to lock it. The results of one round of one model are
one transaction: a runner that is killed has judged a window completely or not at all, and what is
stored decides what is due next.
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
from driftline.monitors.alerts.grafana_delivery import GrafanaDelivery
from driftline.monitors.running.due_windows import Due
from driftline.monitors.running.heartbeat import Heartbeat
from driftline.monitors.running.late_labels import LateLabels
from driftline.monitors.running.metrics import Metrics
from driftline.monitors.running.window_judging import WindowJudge
from driftline.monitors.stream.realtime_checks import RealtimeChecks
from driftline.storage import locks
from driftline.storage.connection import Connection, clock, connect
from driftline.storage.monitoring import notifications, runners
from driftline.storage.profiles import dirty_minutes
from driftline.storage.reconnect import LOCK_TIMEOUT

log = logging.getLogger(__name__)

_HEARTBEAT_INTERVAL = 10.0  # seconds, in the database
_LATE_EVENTS_INTERVAL = timedelta(seconds=30)  # at which they are judged, with `clock: wall`
_MAX_PAUSE = 60.0  # seconds, after failures
_DELIVERY_TIMEOUT = 30.0  # seconds that a delivery may take at shutdown
_CONNECTION_ERRORS = (psycopg.OperationalError, psycopg.InterfaceError, ServiceError)


def shard_of(model: str, shards: int) -> int:
    """The shard of a model, the same in every process.

    >>> shard_of("payments", 16)
    2
    """
    return zlib.crc32(model.encode()) % shards


def share_of(shard: int, models: Iterable[str]) -> int:
    """A runner's models of one shard as a 32-bit number, equal for the same models."""
    return zlib.crc32("\0".join((str(shard), *sorted(models))).encode()) - 2**31


@dataclass
class MonitoredModel:
    """One model, and when its next round is due."""

    name: str
    window_judge: WindowJudge
    realtime: RealtimeChecks
    labels: LateLabels
    alerting: Alerting
    shard: int
    next_at: datetime | None = None
    last_round_at: datetime | None = None
    failures: int = 0
    not_before: float = 0.0
    lag: float = 0.0
    more: bool = field(default=True)
    busy: bool = False


@dataclass(frozen=True)
class Round:
    """The result of one pass over all models.

    Attributes:
        busy: models that another runner or a backfill was judging.
    """

    windows: int
    failed: int
    more: bool
    busy: int = 0


class Runner:
    """Judges the windows of its share of the models until it is stopped.

    Parameters:
        config: of all models.
        models: only these; default: all.

    Attributes:
        id: unique among all runners.
        started: by the database's clock; None before the database has answered.
    """

    def __init__(self, config: Config, models: Sequence[str] | None = None) -> None:
        self._config = config
        names = list(models or config.models)
        self._models = {name: self._monitored(name) for name in names}
        if not names:
            raise ConfigError("no models in the config: add one under `models`")
        self.id = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self.metrics = Metrics()
        self._grafana = GrafanaDelivery(config)
        self._heartbeat = Heartbeat(config.runner.heartbeat_url)
        self._stop = threading.Event()
        self._shares = self._shares_by_shard()
        self._shards: set[int] = set()
        self._heartbeat_at = 0.0
        self._reported_models = 0  # in the last heartbeat
        self._errors = 0
        self.started: datetime | None = None
        self._connection: Connection | None = None
        self._delivery: threading.Thread | None = None

    @property
    def models(self) -> list[str]:
        """The names of the models that it monitors."""
        return list(self._models)

    def stop(self) -> None:
        """Stop after the current model; may be called from a signal handler."""
        self._stop.set()

    def run(
        self,
        *,
        once: bool = False,
        until_idle: bool = False,
        progress: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Judge until stopped; returns how many windows were judged.

        Parameters:
            once: one pass over all models, with all windows that are due.
            until_idle: until nothing is due; the stream has ended, so windows whose lateness
                has not passed are judged too.
            progress: called with the number of windows so far.

        Raises:
            ServiceError: with `once`, if the database is unavailable; otherwise the runner
                retries.
        """
        if self._config.runner.metrics_port is not None:
            self.metrics.serve(self._config.runner.metrics_port)
        if self._config.notify.urls:  # importing it takes seconds
            threading.Thread(target=importlib.import_module, args=("apprise",), daemon=True).start()
        pause, windows = 0.0, 0
        try:
            while not self._stop.is_set():
                try:
                    done = self.round(ended=until_idle, everything=once or until_idle)
                    pause = 0.0
                except _CONNECTION_ERRORS as error:
                    if once and isinstance(error, ServiceError):
                        raise
                    pause = min(max(2 * pause, 1.0), _MAX_PAUSE)
                    log.warning(
                        "database unavailable (%s): retrying in %.0f s", _first_line(error), pause
                    )
                    self._disconnect()
                    self._stop.wait(pause)
                    continue
                windows += done.windows
                progress(windows)
                if done.more:
                    if done.busy and not done.windows:
                        self._stop.wait(self._config.runner.poll_interval.total_seconds())
                    continue
                if once or (until_idle and not done.windows):
                    break
                self._stop.wait(self._config.runner.poll_interval.total_seconds())
        finally:
            self.close()
        return windows

    def round(self, *, ended: bool = False, everything: bool = False) -> Round:
        """One pass over the models of the owned shards, and over the outbox.

        Parameters:
            ended: see `DueWindows.find`.
            everything: also models for which nothing is expected to be due.
        """
        connection = self._connected()
        self._acquire_shards(connection)
        owned = {name: model for name, model in self._models.items() if model.shard in self._shards}
        marked = dirty_minutes.models(connection, list(owned))
        windows = failed = busy = 0
        for model in owned.values():
            if self._stop.is_set():
                break
            now = clock(connection)
            if not (everything or self._is_due(model, now, marked)):
                continue
            if time.monotonic() < model.not_before:
                continue
            model.busy = False
            judged = self._attempt(connection, model, now, ended=ended)
            windows += judged or 0
            failed += judged is None
            busy += model.busy
            self._report(connection, owned)
        self._deliver(connection)
        self._report(connection, owned, force=everything or len(owned) != self._reported_models)
        if not failed:
            self._heartbeat.beat()
            self.metrics.heartbeat.set_to_current_time()
        return Round(windows, failed, any(model.more for model in owned.values()), busy)

    def _monitored(self, name: str) -> MonitoredModel:
        model = self._config.model(name)
        return MonitoredModel(
            name,
            WindowJudge(name, model),
            RealtimeChecks(name, model),
            LateLabels(name, model),
            Alerting(name, model, self._config.notify.link),
            shard_of(name, self._config.runner.shards),
        )

    def _is_due(self, model: MonitoredModel, now: datetime, marked: set[str]) -> bool:
        if model.more or model.next_at is None or now >= model.next_at or model.realtime.due(now):
            return True
        wall = model.window_judge.settings.clock == "wall"
        last = model.last_round_at
        waits = wall and last is not None and now - last < _LATE_EVENTS_INTERVAL
        return model.name in marked and not waits

    def _attempt(
        self, connection: Connection, model: MonitoredModel, now: datetime, *, ended: bool
    ) -> int | None:
        """One model's round; None when it failed, which does not stop the other models."""
        try:
            with self.metrics.round.time():
                windows = self._judge_model(connection, model, now, ended=ended)
        except Exception as error:
            if isinstance(error, _CONNECTION_ERRORS) and (connection.closed or connection.broken):
                raise
            log.exception("model %s: round failed", model.name)
            self._record_failure(connection, model, error)
        else:
            model.failures, model.not_before = 0, 0.0
            return windows
        return None

    def _judge_model(
        self, connection: Connection, model: MonitoredModel, now: datetime, *, ended: bool
    ) -> int:
        with locks.try_transaction(connection, "round", model.name) as free:
            if not free:
                model.busy = model.more = True
                return 0
            due = model.window_judge.due_windows.find(connection, now, ended=ended)
            judged = model.window_judge.judge(connection, due)
            further = model.realtime.judge(connection, now) if model.realtime.due(now) else []
            further += model.labels.judge(connection, due.clock, judged, ended=ended)
            # after a failed round, its alert must be cleared even if no window is due
            if judged or further or model.failures or model.last_round_at is None:
                model.alerting.apply(connection, [*judged, *further])
            model.lag = _lag(due, due.clock or now) if due.more else 0.0
            runners.record_success(
                connection,
                model.name,
                model.shard,
                clock=due.clock,
                judged_until=max((window.end for window in judged), default=None),
                lag_seconds=model.lag,
            )
        model.realtime.commit()
        model.last_round_at, model.more = now, due.more > 0 or model.labels.more
        model.next_at = model.window_judge.due_windows.next_close(now)
        self.metrics.windows.inc(len(judged))
        self.metrics.rejudged.inc(sum(window.revised for window in judged))
        return len(judged)

    def _record_failure(
        self, connection: Connection, model: MonitoredModel, error: Exception
    ) -> None:
        """Store and show the failure, and pause the model."""
        model.failures += 1
        model.more = False
        model.not_before = time.monotonic() + min(2.0**model.failures, _MAX_PAUSE)
        self._errors += 1
        self.metrics.errors.inc()
        reason = f"{type(error).__name__}: {error}"
        try:
            with connection.transaction():
                runners.record_failure(connection, model.name, model.shard, reason)
                model.alerting.record_failure(connection, reason)
        except psycopg.Error:
            if connection.closed or connection.broken:
                raise
            log.exception("model %s: storing the failure failed", model.name)  # such as a full disk

    def _shares_by_shard(self) -> dict[int, int]:
        """Shard -> this runner's share of it."""
        names_of: dict[int, list[str]] = {}
        for name, model in self._models.items():
            names_of.setdefault(model.shard, []).append(name)
        return {shard: share_of(shard, models) for shard, models in names_of.items()}

    def _acquire_shards(self, connection: Connection) -> None:
        """Lock the assigned shards as soon as they are free, and unlock the others."""
        shares = {**runners.registered(connection), self.id: list(self._shares.values())}
        assigned = runners.assigned_shares(self.id, shares)
        shards = {shard for shard, share in self._shares.items() if share in assigned}
        for shard in self._shards - shards:
            runners.unlock(connection, self._shares[shard])
        self._shards &= shards
        for shard in sorted(shards - self._shards):
            if runners.lock(connection, self._shares[shard]):
                self._shards.add(shard)
                for model in self._models.values():
                    if model.shard == shard:
                        model.next_at, model.last_round_at, model.more = (
                            None,
                            None,
                            True,
                        )

    def _report(
        self, connection: Connection, owned: dict[str, MonitoredModel], *, force: bool = False
    ) -> None:
        """Update the heartbeat row in the database, and the metrics."""
        if not force and time.monotonic() - self._heartbeat_at < _HEARTBEAT_INTERVAL:
            return
        self._heartbeat_at, self._reported_models = time.monotonic(), len(owned)
        lag = max((model.lag for model in owned.values()), default=0.0)
        runners.heartbeat(
            connection,
            self.id,
            shards=list(self._shares.values()),
            models=len(owned),
            watches=self.models,
            lag_seconds=lag,
            errors=self._errors,
        )
        self.metrics.lag.set(lag)
        self.metrics.models.set(len(owned))
        self.metrics.shards.set(len(self._shards))

    def _deliver(self, connection: Connection) -> None:
        """Deliver in a thread with its own connection, so that a slow receiver delays no window."""
        busy = self._delivery is not None and self._delivery.is_alive()
        if not busy and notifications.count_due(connection):
            self._delivery = threading.Thread(target=self._deliver_now, daemon=True)
            self._delivery.start()

    def _deliver_now(self) -> None:
        try:
            with connect(self._config.local_postgres(), "write", autocommit=True) as connection:
                self.metrics.sent.inc(deliver(self._config, connection, self._grafana))
        except Exception:  # a failing channel must not stop the judging
            log.exception("delivering notifications failed")

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
            self._report(self._connection, {}, force=True)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def close(self) -> None:
        """Finish the delivery, release the shards and disconnect."""
        if self._delivery is not None:
            self._delivery.join(_DELIVERY_TIMEOUT)
        if self._connection is not None and not self._connection.closed:
            try:
                for shard in self._shards:
                    runners.unlock(self._connection, self._shares[shard])
                runners.deregister(self._connection, self.id)
            except psycopg.Error as error:
                log.warning("could not deregister the runner (%s)", _first_line(error))
        self._disconnect()


def _lag(due: Due, now: datetime) -> float:
    """How long the oldest window that is still due has waited, by the model's clock."""
    if due.waited_since is None:
        return 0.0
    return max((now - due.waited_since).total_seconds(), 0.0)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
