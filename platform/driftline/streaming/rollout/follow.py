"""Follows the registry: who has which role now, loaded in the background, swapped in between."""

import contextlib
import gc
import itertools
import logging
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from driftline import names
from driftline.config import Config
from driftline.errors import DriftlineError, RegistryError, ServiceError
from driftline.registry import aliases
from driftline.registry.aliases import Roles, roles
from driftline.registry.client import connect as connect_registry
from driftline.registry.gates.canary import broken
from driftline.registry.trials import Trials
from driftline.storage import locks
from driftline.storage.connection import Connection, connect
from driftline.storage.versions import promotions
from driftline.streaming.rollout.loader import Loader
from driftline.streaming.rollout.ready import Ready, locate
from driftline.streaming.rollout.serving import Serving
from driftline.streaming.scoring.lineup import Lineup, Served

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

_LOOK = 15.0  # seconds between two looks at a canary
_JUST_DECIDED = timedelta(seconds=5)


class Follower:
    """A thread that keeps a worker's line-up as the registry says.

    While the registry or the database is away, the line-up stays.

    Parameters:
        config: with the model `name` in it.
        name: the model.
        serving: whose line-up it swaps.
        trials: where new versions are tried first.
    """

    def __init__(self, config: Config, name: str, serving: Serving, trials: Trials) -> None:
        self._config = config
        self._name = name
        self._registered = config.model(name).registry
        self._serving = serving
        self._trials = trials
        self._client: MlflowClient | None = None
        self._connection: Connection | None = None
        self._loader = Loader(self._make)
        self._told: set[str] = set()
        self._telling: set[str] = set()
        self._next_look = 0.0
        self._only_tried = False
        self._wanted: Roles | None = None
        self._lost: set[int] = set()  # champions of the past that can't be gone back to
        self._next_before = 0.0
        self._ungated: int | None = None
        self._gated = False
        self._barred: frozenset[int] = frozenset()
        self._stop = threading.Event()
        self._look(only_tried=True)  # what scored before a restart scores from the first batch on
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def in_quarantine(self) -> int:
        """How many versions may not serve, when it last looked."""
        return len(self._barred)

    def is_ungated(self) -> bool:
        """Whether the champion's alias was moved outside driftline, when it last looked."""
        return self._ungated is not None

    def close(self) -> None:
        """Follow no more; a version that is being loaded is left."""
        self._stop.set()
        self._thread.join(timeout=5)
        self._trials.close()
        self._disconnect()

    def _run(self) -> None:
        self._trials.prepare()
        while not self._stop.wait(self._registered.poll.total_seconds()):
            self._look()

    def _look(self, *, only_tried: bool = False) -> None:
        self._only_tried = only_tried
        self._telling = set()
        try:
            self._step()
        except DriftlineError as error:
            self._tell(str(error))
        except Exception:
            log.exception("following the registry failed; the present versions stay")
            self._disconnect()
        self._told = self._telling

    def _step(self) -> None:
        """Look once, and swap if anything has changed.

        Raises:
            DriftlineError: the registry or the database is away.
        """
        if self._connection is None:
            self._connection = connect(self._config.local_postgres(), "write", autocommit=True)
        self._report_unfit(self._connection)
        if self._client is None:
            self._client = connect_registry(self._config.local_mlflow())
        barred = frozenset(
            one.version for one in promotions.quarantines(self._connection, self._name)
        )
        for version in self._barred - barred:
            self._serving.pardon(version)
        self._barred = barred
        self._swap(self._connection, self._roles(self._client))
        self._watch_canary(self._connection, self._client)
        if self._serving.drop():  # what was frozen goes only when it is looked at again
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def _roles(self, client: "MlflowClient") -> Roles:
        """What the registry says; the present champion stays where nobody is."""
        try:
            return roles(client, self._registered)
        except RegistryError as error:  # somebody deleted the alias
            self._tell(str(error))
            return roles(client, self._registered, self._serving.now().champion.version)

    def _swap(self, connection: Connection, wanted: Roles) -> None:
        if wanted != self._wanted:
            self._loader.forget()  # what is wanted still is begun again
            self._wanted = wanted
        before = self._serving.now()
        now = self._without_barred(connection, before)
        champion = now.champion
        allowed = self._may_serve(connection, wanted.champion)  # asked of the present one too:
        if allowed and wanted.champion != champion.version:  # it may have come while no job ran
            champion = self._take(connection, wanted.champion, wait=True) or champion
        challenger = self._take(connection, wanted.challenger) if wanted.challenger else None
        shadows = [self._take(connection, version) for version in wanted.shadows]
        previous, proven = now.previous, now.proven
        if champion != now.champion:
            previous, proven = now.champion, self._has_served(connection, champion.version)
        elif previous is None:  # since the worker began
            previous, proven = self._before(connection, champion.version), True
        then = Lineup(
            champion,
            None if challenger == champion else challenger,
            wanted.percent if challenger is not None else 0.0,
            tuple(served for served in shadows if served is not None and served != champion),
            None if previous == champion else previous,
            proven,
        )
        if then == before:
            return
        self._serving.swap(then)
        gc.freeze()
        self._record(connection, before, self._serving.now())

    def _without_barred(self, connection: Connection, now: Lineup) -> Lineup:
        """The line-up without what other workers have found unfit."""
        for version in self._barred & now.loaded().keys():
            if version == now.champion.version and now.previous is None:
                now = replace(now, previous=self._before(connection, version, wait=True))
            with contextlib.suppress(LookupError):  # no other can serve
                now = now.without(version)
        return now

    def _before(
        self, connection: Connection, champion: int, *, wait: bool = False
    ) -> Served | None:
        """The champion before, loaded; None while there is none."""
        barred = {*self._barred, *self._serving.unfit(), *self._lost}
        version = promotions.before(promotions.made(connection, self._name), champion, barred)
        if version is None or (not wait and time.monotonic() < self._next_before):
            return None
        assert self._client is not None
        try:
            if aliases.usable(self._client, self._registered.name, version):
                return self._obtain(connection, version, wait=wait)
            self._lost.add(version)
        except ServiceError as error:
            self._next_before = time.monotonic() + _LOOK
            self._tell(str(error))
        except RegistryError as error:  # no reason for a quarantine: nobody asks for it now
            self._lost.add(version)
            log.warning("version %d can't be gone back to: %s", version, error)
        return None

    def _watch_canary(self, connection: Connection, client: "MlflowClient") -> None:
        """Stop the canary when a gate breaks; one worker looks, from time to time."""
        now = self._serving.now()
        if now.challenger is None or not now.percent or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK
        if not locks.take(connection, "canary", self._name):
            return
        try:
            version = now.challenger.version
            failed = broken(self._config, self._name, now.champion.version, version)
            if failed:
                aliases.stop_canary(client, self._registered.name)
                why = "; ".join(f"{one.name} {one.sentence}" for one in failed)
                self._event(connection, version, names.CHALLENGER, "canary_stopped", why)
        finally:
            locks.release(connection, "canary", self._name)

    def _may_serve(self, connection: Connection, version: int) -> bool:
        """Whether the champion's alias was moved by driftline, or may be moved by others."""
        if version in self._barred:
            return False
        decided = promotions.made(connection, self._name)
        gated = not decided or decided[-1].version == version
        if not gated and datetime.now(UTC) - decided[-1].decided_at < _JUST_DECIDED:
            return False  # its alias may be about to move: look again
        enforced = self._config.model(self._name).gates.mode == "enforce"
        if not gated and self._ungated != version:
            self._tell_ungated(connection, version, enforced)
        if gated and not self._gated and promotions.moved_outside(connection, self._name):
            why = f"the alias {self._registered.alias} is where driftline moved it"
            self._event(connection, version, names.CHAMPION, "gated", why)
        self._ungated, self._gated = None if gated else version, gated
        return gated or not enforced

    def _tell_ungated(self, connection: Connection, version: int, enforced: bool) -> None:
        kind, why = "ungated", f"the alias {self._registered.alias} was moved outside driftline"
        if enforced:
            kind, why = "refused", f"{why}: 'driftline models promote' asks the gates"
        self._event(connection, version, names.CHAMPION, kind, why)
        if self._client is not None and not enforced:
            aliases.mark_ungated(self._client, self._registered.name, version)

    def _has_served(self, connection: Connection, version: int) -> bool:
        """Whether a version was champion before it became so now, as after a roll-back."""
        decided = promotions.made(connection, self._name)
        earlier = decided[:-1] if decided and decided[-1].version == version else decided
        return version in {one.version for one in earlier}

    def _take(self, connection: Connection, version: int, *, wait: bool = False) -> Served | None:
        """A version, loaded if it is not; None when it may not or cannot score, or not yet."""
        if version in self._barred or version in self._serving.unfit():
            return None
        try:
            return self._obtain(connection, version, wait=wait)
        except RegistryError as error:
            self._quarantine(connection, version, "refused", str(error))
        except ServiceError as error:  # not its fault: again at the next look
            self._tell(str(error))
        return None

    def _obtain(self, connection: Connection, version: int, *, wait: bool) -> Served | None:
        """A version, loaded if it is not; None while it is being loaded in the background.

        Raises:
            RegistryError: it cannot be loaded, or fails its trial.
            ServiceError: the registry or a model server is away.
        """
        loaded = self._serving.now().loaded()
        if version in loaded:
            return loaded[version]
        wait = wait or (self._only_tried and self._registered.serving is None)
        made = self._loader.at_once(version) if wait else self._loader.when_ready(version)
        if made is None:
            return None
        ready, took = made
        served = self._serving.add(ready)
        self._serving.store(connection, version)
        self._event(connection, version, "", "ready", took)
        return served

    def _make(self, version: int) -> tuple[Ready, str]:
        """A version that can score, and how long that took; in any thread."""
        assert self._client is not None
        times = [time.monotonic()]
        located = locate(self._config, self._name, self._client, version)
        times.append(time.monotonic())
        if self._only_tried and not self._trials.passed(located.folder):
            raise ServiceError(f"version {version} is to be tried on this host first")
        self._trials.run(located.folder, version)
        times.append(time.monotonic())
        ready = self._serving.make(located)
        times.append(time.monotonic())
        took = "fetched in {:.1f} s, tried in {:.1f} s, loaded in {:.1f} s".format(
            *(after - before for before, after in itertools.pairwise(times))
        )
        return ready, took

    def _report_unfit(self, connection: Connection) -> None:
        for version, (reason, detail) in self._serving.unfit().items():
            if version not in self._barred:
                self._quarantine(connection, version, reason, detail)

    def _quarantine(self, connection: Connection, version: int, reason: str, detail: str) -> None:
        log.error("version %d goes to quarantine: %s: %s", version, reason, detail)
        self._serving.quarantine(connection, version, reason, detail)
        self._barred |= {version}

    def _record(self, connection: Connection, before: Lineup, after: Lineup) -> None:
        """What begins now; across workers that is an interval."""
        if after.champion != before.champion:
            self._event(connection, after.champion.version, names.CHAMPION, "serving")
        old = {(role, served.version) for role, served in before.others()}
        for role, served in after.others():
            changed = role == names.CHALLENGER and before.percent != after.percent
            if (role, served.version) not in old or changed:
                share = f"serves {after.percent:g} %" if after.percent and changed else ""
                self._event(connection, served.version, role, "scoring", share)

    def _event(
        self, connection: Connection, version: int, role: str, kind: str, detail: str = ""
    ) -> None:
        log.info("version %d, %s: %s %s", version, role, kind, detail)
        promotions.add_event(
            connection,
            self._name,
            version,
            kind=kind,
            by=self._serving.worker,
            detail=detail,
            role=role,
        )

    def _tell(self, problem: str) -> None:
        """Once, for as long as each look finds it."""
        if problem not in self._told | self._telling:
            log.warning("the present versions stay: %s", problem)
        self._telling.add(problem)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
