"""Keeps a worker's line-up in step with the registry: loads new versions and swaps them in."""

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
from driftline.registry.aliases import Roles, read_roles
from driftline.registry.client import connect as connect_registry
from driftline.registry.gates.canary import failed_gates
from driftline.registry.shared_preflight import SharedPreflight
from driftline.storage import locks
from driftline.storage.connection import Connection, connect
from driftline.storage.versions import promotions
from driftline.streaming.rollout.loader import VersionLoader
from driftline.streaming.rollout.prepare import PreparedVersion, fetch_version
from driftline.streaming.rollout.serving import Serving
from driftline.streaming.scoring.lineup import Lineup, Served

if TYPE_CHECKING:
    from mlflow import MlflowClient

log = logging.getLogger(__name__)

_CHECK_SECONDS = 15.0  # between two checks of a canary, or tries to load the previous champion
_JUST_DECIDED = timedelta(seconds=5)  # a promotion records its decision before it moves the alias


class RegistryWatcher:
    """A thread that polls the registry and updates a worker's line-up.

    While the registry or the database is unavailable, the line-up is unchanged.

    Parameters:
        config: with the model `name` in it.
        name: the model.
        serving: holds the line-up that is updated.
        preflight: checks new versions before they are loaded.
    """

    def __init__(
        self, config: Config, name: str, serving: Serving, preflight: SharedPreflight
    ) -> None:
        self._config = config
        self._name = name
        self._registered = config.model(name).registry
        self._serving = serving
        self._preflight = preflight
        self._client: MlflowClient | None = None
        self._connection: Connection | None = None
        self._loader = VersionLoader(self._prepare)
        self._reported: set[str] = set()
        self._problems: set[str] = set()
        self._next_check = 0.0  # of the canary
        self._only_passed = False
        self._desired: Roles | None = None
        self._lost: set[int] = set()  # former champions that can no longer be loaded
        self._next_previous = 0.0  # when to try to load the previous champion again
        self._ungated: int | None = None
        self._gated = False
        self._excluded: frozenset[int] = frozenset()
        self._stop = threading.Event()
        self._poll(only_passed=True)  # what scored before a restart scores from the first batch
        self._thread = threading.Thread(target=self._run, name="registry-watcher", daemon=True)
        self._thread.start()

    def quarantined_count(self) -> int:
        """Number of versions in quarantine at the last poll."""
        return len(self._excluded)

    def is_ungated(self) -> bool:
        """Whether the champion's alias had been moved outside driftline at the last poll."""
        return self._ungated is not None

    def close(self) -> None:
        """Stop polling; a version that is being loaded is abandoned."""
        self._stop.set()
        self._thread.join(timeout=5)
        self._preflight.close()
        self._disconnect()

    def _run(self) -> None:
        self._preflight.prepare()
        while not self._stop.wait(self._registered.poll_interval.total_seconds()):
            self._poll()

    def _poll(self, *, only_passed: bool = False) -> None:
        self._only_passed = only_passed
        self._problems = set()
        try:
            self._sync()
        except DriftlineError as error:
            self._report(str(error))
        except Exception:
            log.exception("registry poll failed; the current versions keep serving")
            self._disconnect()
        self._reported = self._problems

    def _sync(self) -> None:
        """Poll once, and swap the line-up if anything has changed.

        Raises:
            DriftlineError: the registry or the database is unavailable.
        """
        if self._connection is None:
            self._connection = connect(self._config.local_postgres(), "write", autocommit=True)
        self._quarantine_faulty(self._connection)
        if self._client is None:
            self._client = connect_registry(self._config.local_mlflow())
        quarantines = promotions.quarantines(self._connection, self._name)
        excluded = frozenset(quarantine.version for quarantine in quarantines)
        for version in self._excluded - excluded:
            self._serving.reinstate(version)
        self._excluded = excluded
        self._swap(self._connection, self._roles(self._client))
        self._check_canary(self._connection, self._client)
        if self._serving.unload_unused():  # the garbage collector frees a version only if unfrozen
            gc.unfreeze()
            gc.collect()
            gc.freeze()

    def _roles(self, client: "MlflowClient") -> Roles:
        """The registry's roles; without a champion there, the current one."""
        try:
            return read_roles(client, self._registered)
        except RegistryError as error:  # somebody deleted the alias
            self._report(str(error))
            return read_roles(client, self._registered, self._serving.current().champion.version)

    def _swap(self, connection: Connection, desired: Roles) -> None:
        if desired != self._desired:
            self._loader.cancel()  # versions that are still desired are loaded again
            self._desired = desired
        current = self._serving.current()
        lineup = self._without_excluded(connection, current)
        champion = lineup.champion
        # checked for the current champion too: its alias may have been moved while no job ran
        allowed = self._is_allowed(connection, desired.champion)
        if allowed and desired.champion != champion.version:
            champion = self._load(connection, desired.champion, wait=True) or champion
        challenger = self._load(connection, desired.challenger) if desired.challenger else None
        shadows = [self._load(connection, version) for version in desired.shadows]
        previous, proven = lineup.previous, lineup.proven
        if champion != lineup.champion:
            previous, proven = lineup.champion, self._has_served(connection, champion.version)
        elif previous is None:  # not loaded since the worker started
            previous, proven = self._previous(connection, champion.version), True
        updated = Lineup(
            champion,
            None if challenger == champion else challenger,
            desired.percent if challenger is not None else 0.0,
            tuple(served for served in shadows if served is not None and served != champion),
            None if previous == champion else previous,
            proven,
        )
        if updated == current:
            return
        self._serving.swap(updated)
        gc.freeze()
        self._record(connection, current, self._serving.current())

    def _without_excluded(self, connection: Connection, lineup: Lineup) -> Lineup:
        """The line-up without the versions in quarantine, also those from other workers."""
        for version in self._excluded & lineup.loaded().keys():
            if version == lineup.champion.version and lineup.previous is None:
                lineup = replace(lineup, previous=self._previous(connection, version, wait=True))
            with contextlib.suppress(LookupError):  # no other version can serve
                lineup = lineup.without(version)
        return lineup

    def _previous(
        self, connection: Connection, champion: int, *, wait: bool = False
    ) -> Served | None:
        """The previous champion, loaded; None if there is none, or it is not loaded yet."""
        excluded = {*self._excluded, *self._serving.faulty(), *self._lost}
        decisions = promotions.champion_decisions(connection, self._name)
        version = promotions.rollback_target(decisions, champion, excluded)
        if version is None or (not wait and time.monotonic() < self._next_previous):
            return None
        assert self._client is not None
        try:
            if aliases.is_usable(self._client, self._registered.name, version):
                return self._obtain(connection, version, wait=wait)
            self._lost.add(version)
        except ServiceError as error:
            self._next_previous = time.monotonic() + _CHECK_SECONDS
            self._report(str(error))
        except RegistryError as error:  # not quarantined: no role needs it now
            self._lost.add(version)
            log.warning("cannot roll back to version %d: %s", version, error)
        return None

    def _check_canary(self, connection: Connection, client: "MlflowClient") -> None:
        """Stop the canary if a gate fails; one worker at a time checks, every few seconds."""
        lineup = self._serving.current()
        challenger = lineup.challenger
        if challenger is None or not lineup.percent or time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + _CHECK_SECONDS
        if not locks.acquire(connection, "canary", self._name):
            return
        try:
            version = challenger.version
            failed = failed_gates(self._config, self._name, lineup.champion.version, version)
            if failed:
                aliases.stop_canary(client, self._registered.name)
                reason = "; ".join(f"{gate.name} {gate.sentence}" for gate in failed)
                self._event(connection, version, names.CHALLENGER, "canary_stopped", reason)
        finally:
            locks.release(connection, "canary", self._name)

    def _is_allowed(self, connection: Connection, version: int) -> bool:
        """Whether a version may be champion: driftline moved the alias, or others may move it."""
        if version in self._excluded:
            return False
        decisions = promotions.champion_decisions(connection, self._name)
        gated = not decisions or decisions[-1].version == version
        if not gated and datetime.now(UTC) - decisions[-1].decided_at < _JUST_DECIDED:
            return False  # a promotion may be about to move the alias: check again at the next poll
        enforced = self._config.model(self._name).gates.mode == "enforce"
        if not gated and self._ungated != version:
            self._report_ungated(connection, version, enforced)
        if gated and not self._gated and promotions.moved_outside(connection, self._name):
            reason = f"driftline moved the alias {self._registered.alias} to this version"
            self._event(connection, version, names.CHAMPION, "gated", reason)
        self._ungated, self._gated = None if gated else version, gated
        return gated or not enforced

    def _report_ungated(self, connection: Connection, version: int, enforced: bool) -> None:
        reason = f"the alias {self._registered.alias} was moved outside driftline"
        if enforced:
            reason += ": use 'driftline models promote', which checks the gates"
        kind = "refused" if enforced else "ungated"
        self._event(connection, version, names.CHAMPION, kind, reason)
        if self._client is not None and not enforced:
            aliases.mark_ungated(self._client, self._registered.name, version)

    def _has_served(self, connection: Connection, version: int) -> bool:
        """Whether a version was champion before its current promotion, as after a rollback."""
        decisions = promotions.champion_decisions(connection, self._name)
        earlier = decisions[:-1] if decisions and decisions[-1].version == version else decisions
        return version in {decision.version for decision in earlier}

    def _load(self, connection: Connection, version: int, *, wait: bool = False) -> Served | None:
        """A version, loaded if needed; None if it is faulty or not loaded yet."""
        if version in self._excluded or version in self._serving.faulty():
            return None
        try:
            return self._obtain(connection, version, wait=wait)
        except RegistryError as error:
            self._quarantine(connection, version, "refused", str(error))
        except ServiceError as error:  # not the version's fault: try again at the next poll
            self._report(str(error))
        return None

    def _obtain(self, connection: Connection, version: int, *, wait: bool) -> Served | None:
        """A version, loaded if needed; None while it is being loaded in the background.

        Raises:
            RegistryError: it cannot be loaded, or fails its preflight check.
            ServiceError: the registry or a model server is unavailable.
        """
        loaded = self._serving.current().loaded()
        if version in loaded:
            return loaded[version]
        wait = wait or (self._only_passed and self._registered.serving is None)
        result = self._loader.load(version) if wait else self._loader.poll(version)
        if result is None:
            return None
        prepared, took = result
        served = self._serving.add(prepared)
        self._serving.store(connection, version)
        self._event(connection, version, "", "ready", took)
        return served

    def _prepare(self, version: int) -> tuple[PreparedVersion, str]:
        """Prepare a version; returns also how long each step took. Called from any thread."""
        assert self._client is not None
        times = [time.monotonic()]
        fetched = fetch_version(self._config, self._name, self._client, version)
        times.append(time.monotonic())
        if self._only_passed and not self._preflight.passed(fetched.folder):
            raise ServiceError(f"version {version} has not passed a preflight check on this host")
        self._preflight.run(fetched.folder, version)
        times.append(time.monotonic())
        prepared = self._serving.prepare(fetched)
        times.append(time.monotonic())
        took = "fetched in {:.1f} s, checked in {:.1f} s, loaded in {:.1f} s".format(
            *(end - start for start, end in itertools.pairwise(times))
        )
        return prepared, took

    def _quarantine_faulty(self, connection: Connection) -> None:
        for version, (reason, detail) in self._serving.faulty().items():
            if version not in self._excluded:
                self._quarantine(connection, version, reason, detail)

    def _quarantine(self, connection: Connection, version: int, reason: str, detail: str) -> None:
        log.error("version %d quarantined: %s: %s", version, reason, detail)
        self._serving.quarantine(connection, version, reason, detail)
        self._excluded |= {version}

    def _record(self, connection: Connection, old: Lineup, new: Lineup) -> None:
        """Record which versions start to serve or score; each worker records its own start."""
        if new.champion != old.champion:
            self._event(connection, new.champion.version, names.CHAMPION, "serving")
        scoring = {(role, served.version) for role, served in old.others()}
        for role, served in new.others():
            changed = role == names.CHALLENGER and old.percent != new.percent
            if (role, served.version) not in scoring or changed:
                share = f"serves {new.percent:g} %" if new.percent and changed else ""
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

    def _report(self, problem: str) -> None:
        """Log a problem once, until a poll passes without it."""
        if problem not in self._reported | self._problems:
            log.warning("current versions keep serving: %s", problem)
        self._problems.add(problem)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
