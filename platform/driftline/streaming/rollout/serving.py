"""The versions that one worker serves: those it starts with, and their replacements."""

import contextlib
import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa

from driftline import names
from driftline.config import Config
from driftline.errors import DriftlineError, RegistryError
from driftline.profile.binning import Binning
from driftline.registry.files.cache import cached
from driftline.registry.shared_preflight import mark_passed
from driftline.storage.connection import Connection, connect
from driftline.storage.reconnect import Reconnecting
from driftline.storage.versions import promotions
from driftline.storage.versions.versions import record
from driftline.streaming.rollout.prepare import PreparedVersion, VersionFiles, candidates, prepare
from driftline.streaming.scoring.lineup import Lineup, Served

log = logging.getLogger(__name__)

_TIMEOUT = 5  # time limit for the database when the worker is about to exit


class Serving:
    """A worker's line-up; another thread may replace it between two batches.

    Parameters:
        config: with the model `name` in it.
        name: the model.
        features: schema of the feature definition's output.
        definition: hash of the feature definition.

    Raises:
        RegistryError: no version can be loaded: the alias or artifacts are missing, changed since
            registration, need other features, or are quarantined.
        ServiceError: the registry is unavailable, and no version was fetched before.
    """

    def __init__(self, config: Config, name: str, features: pa.Schema, definition: str) -> None:
        self._config = config
        self._name = name
        self._features = features
        self._definition = definition
        self._prepared: dict[int, PreparedVersion] = {}
        self._faulty: dict[int, tuple[str, str]] = {}
        self._swapping = threading.Lock()
        store = Reconnecting(config.local_postgres(), lambda connection: connection)
        self._lineup = Lineup(store.call(self._first_version))
        self._in_use = self._lineup
        store.close()

    @property
    def worker(self) -> str:
        """Name of this process in records: host and process ID."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def lineup(self) -> Lineup:
        """The line-up for the next batch; marks the previous batch as finished."""
        self._in_use = self._lineup
        return self._in_use

    def current(self) -> Lineup:
        """The current line-up, for other threads than the one that scores."""
        return self._lineup

    def binning_of(self, version: int) -> Binning:
        """How a version's values are profiled."""
        return self._prepared[version].record.binning

    def prepare(self, fetched: VersionFiles) -> PreparedVersion:
        """Prepare another version; called from any thread.

        Raises:
            RegistryError: it cannot be loaded, or needs other features.
            ServiceError: its model server is unavailable.
        """
        return prepare(self._config, self._name, fetched, self._features, self._definition)

    def add(self, prepared: PreparedVersion) -> Served:
        """Keep a prepared version; it scores nothing before a swap."""
        self._prepared[prepared.served.version] = prepared
        return prepared.served

    def folder(self, version: int) -> Path:
        """The files of a prepared version.

        Raises:
            RegistryError: the files were deleted or changed.
        """
        registered = self._config.model(self._name).registry.name
        models = self._config.folder("models")
        folder = cached(registered, version, self.digest(version), models)
        if folder is None:
            raise RegistryError(f"version {version}: files missing or changed in {str(models)!r}")
        return folder

    def digest(self, version: int) -> str:
        """The digest of a prepared version, "" of others."""
        return self._prepared[version].record.digest if version in self._prepared else ""

    def store(self, connection: Connection, version: int) -> None:
        """Record a version in the database, before any of its rows."""
        record(connection, self._prepared[version].record)

    def swap(self, lineup: Lineup) -> None:
        """Set the line-up from the next batch on, without versions found faulty since."""
        with self._swapping:
            for version in self._faulty:
                with contextlib.suppress(LookupError):
                    lineup = lineup.without(version)
            self._lineup = lineup

    def exclude(self, version: int, reason: str, detail: str) -> None:
        """Remove a faulty version from the line-up; the registry watcher then quarantines it.

        Raises:
            LookupError: no other version can take its place.
        """
        log.error("version %d is faulty: %s: %s", version, reason, detail)
        with self._swapping:
            self._lineup = self._lineup.without(version)
            self._faulty[version] = (reason, detail)

    def faulty(self) -> dict[int, tuple[str, str]]:
        """Reason and detail of the versions that this worker excluded."""
        return dict(self._faulty)

    def reinstate(self, version: int) -> None:
        """Allow a version again after its quarantine was lifted."""
        self._faulty.pop(version, None)

    def unload_unused(self) -> bool:
        """Unload versions that neither the current batch nor the next ones need."""
        needed = self._in_use.loaded().keys() | self._lineup.loaded().keys()
        unused = [version for version in self._prepared if version not in needed]
        for version in unused:
            close: Any = getattr(self._prepared.pop(version).served.runtime, "close", None)
            if close is not None:
                close()
        return bool(unused)

    def end_hung_worker(self, served: Served | None) -> None:
        """Exit the worker because a version or, with None, the transform hangs.

        Flink restarts it, with another version if possible; an event that hangs again is searched.
        """
        limit = self._config.model(self._name).registry.batch_timeout
        if served is None:
            log.error("transform still runs on a batch after %s; exiting the worker", limit)
            os._exit(70)  # nothing else stops a thread inside its code
        detail = f"a prediction exceeded registry.batch_timeout ({limit})"
        log.error("version %d hangs: %s; exiting the worker", served.version, detail)
        try:
            self._quarantine_replaceable(served.version, "hangs", detail)
        finally:
            os._exit(70)  # nothing else stops a thread inside a model's code

    def replace(self, version: int, reason: str, detail: str) -> None:
        """Remove a version from the line-up; if no loaded version can take its place, quarantine
        it, so that the next worker starts with another one.

        Raises:
            LookupError: this worker has no other version.
        """
        try:
            self.exclude(version, reason, detail)
        except LookupError:
            self._quarantine_replaceable(version, reason, detail)
            raise

    def _quarantine_replaceable(self, version: int, reason: str, detail: str) -> None:
        """Quarantine a version if a worker that starts again has another one to serve."""
        postgres = self._config.local_postgres()
        try:
            with connect(postgres, "write", autocommit=True, connect_timeout=_TIMEOUT) as store:
                if self._is_replaceable(store, version):
                    self.quarantine(store, version, reason, detail)
                else:
                    log.error("version %d not quarantined: no other version can serve", version)
        except (DriftlineError, OSError) as error:
            log.error("version %d not quarantined: %s", version, error)

    def _is_replaceable(self, connection: Connection, version: int) -> bool:
        """Whether a worker that starts again finds another champion, see `candidates`."""
        if version != self._lineup.champion.version or self._lineup.previous is not None:
            return True
        quarantined = {entry.version for entry in promotions.quarantines(connection, self._name)}
        decisions = promotions.champion_decisions(connection, self._name)
        return promotions.rollback_target(decisions, version, quarantined) is not None

    def quarantine(self, connection: Connection, version: int, reason: str, detail: str) -> None:
        """Exclude a version from all workers."""
        promotions.quarantine(
            connection,
            self._name,
            version,
            digest=self.digest(version),
            reason=reason,
            detail=detail,
            worker=self.worker,
        )

    def _first_version(self, connection: Connection) -> Served:
        """Load the first candidate that can be loaded; quarantine those that could not."""
        problems: list[DriftlineError] = []
        failed: dict[int, RegistryError] = {}
        for fetched in candidates(self._config, self._name, connection, problems):
            try:
                served = self.add(self.prepare(fetched))
            except RegistryError as error:
                problems.append(error)
                failed[fetched.version.version] = error
                continue
            for version, failure in failed.items():
                self.quarantine(connection, version, "refused", str(failure))
            mark_passed(fetched.folder)  # a worker that starts later may have to roll back to it
            self.store(connection, served.version)
            connection.commit()
            promotions.record_first(connection, self._name, served.version, by=self.worker)
            promotions.add_event(
                connection,
                self._name,
                served.version,
                kind="serving",
                by=self.worker,
                role=names.CHAMPION,
            )
            connection.commit()
            return served
        raise (
            problems[0]
            if problems
            else RegistryError(f"model {self._name!r} has no version that can serve")
        )
