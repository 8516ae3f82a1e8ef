"""The versions that one worker serves: what it begins with, and what takes their place."""

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
from driftline.registry.trials import mark_passed
from driftline.storage.connection import Connection, connect
from driftline.storage.reconnect import Reconnecting
from driftline.storage.versions import promotions
from driftline.storage.versions.versions import record
from driftline.streaming.rollout.ready import Located, Ready, candidates, make_ready
from driftline.streaming.scoring.lineup import Lineup, Served

log = logging.getLogger(__name__)

_QUICKLY = 5  # seconds for the database, when the worker is about to end


class Serving:
    """One worker's line-up; another thread may swap it between two batches.

    Parameters:
        config: with the model `name` in it.
        name: the model.
        features: what the feature definition gives.
        definition: hash of the feature definition.

    Raises:
        RegistryError: no version can be loaded: the alias or artifacts are missing, changed since
            they were registered, need other features, or are in quarantine.
        ServiceError: the registry is down, and no version was fetched before.
    """

    def __init__(self, config: Config, name: str, features: pa.Schema, definition: str) -> None:
        self._config = config
        self._name = name
        self._features = features
        self._definition = definition
        self._ready: dict[int, Ready] = {}
        self._unfit: dict[int, tuple[str, str]] = {}
        self._swapping = threading.Lock()
        store = Reconnecting(config.local_postgres(), lambda connection: connection)
        self._lineup = Lineup(store.call(self._begin))
        self._in_use = self._lineup
        store.close()

    @property
    def worker(self) -> str:
        """This process, for the record."""
        return f"{socket.gethostname()}:{os.getpid()}"

    def lineup(self) -> Lineup:
        """What scores the next batch; the one before is not in use any more."""
        self._in_use = self._lineup
        return self._in_use

    def now(self) -> Lineup:
        """The present line-up, for others than the one who scores."""
        return self._lineup

    def binning_of(self, version: int) -> Binning:
        """How a version's values are profiled."""
        return self._ready[version].record.binning

    def make(self, located: Located) -> Ready:
        """Make another version ready, from any thread.

        Raises:
            RegistryError: it cannot be loaded, or needs other features.
            ServiceError: its model server is away.
        """
        return make_ready(self._config, self._name, located, self._features, self._definition)

    def add(self, ready: Ready) -> Served:
        """Keep what was made ready; it scores nothing before a swap."""
        self._ready[ready.served.version] = ready
        return ready.served

    def folder(self, version: int) -> Path:
        """The files of a version that is ready.

        Raises:
            RegistryError: somebody has deleted or changed them.
        """
        registered = self._config.model(self._name).registry.name
        models = self._config.folder("models")
        folder = cached(registered, version, self.digest(version), models)
        if folder is None:
            raise RegistryError(f"the files of version {version} are gone from {str(models)!r}")
        return folder

    def digest(self, version: int) -> str:
        """Of a version that is ready, "" of others."""
        return self._ready[version].record.digest if version in self._ready else ""

    def store(self, connection: Connection, version: int) -> None:
        """Have the store know a version before it has rows of it."""
        record(connection, self._ready[version].record)

    def swap(self, lineup: Lineup) -> None:
        """From the next batch on; without what has turned out unfit since."""
        with self._swapping:
            for version in self._unfit:
                with contextlib.suppress(LookupError):
                    lineup = lineup.without(version)
            self._lineup = lineup

    def bar(self, version: int, reason: str, detail: str) -> None:
        """Take an unfit version out of the line-up at once; the follower tells the others.

        Raises:
            LookupError: no other version can take its place.
        """
        log.error("version %d is unfit: %s: %s", version, reason, detail)
        with self._swapping:
            self._lineup = self._lineup.without(version)
            self._unfit[version] = (reason, detail)

    def unfit(self) -> dict[int, tuple[str, str]]:
        """Reason and detail of the versions that were barred here."""
        return dict(self._unfit)

    def pardon(self, version: int) -> None:
        """Its quarantine was lifted."""
        self._unfit.pop(version, None)

    def drop(self) -> bool:
        """Let go of versions that neither the present batch nor the next ones need."""
        needed = self._in_use.loaded().keys() | self._lineup.loaded().keys()
        gone = [version for version in self._ready if version not in needed]
        for version in gone:
            close: Any = getattr(self._ready.pop(version).served.runtime, "close", None)
            if close is not None:
                close()
        return bool(gone)

    def give_up(self, served: Served | None) -> None:
        """End the worker, in which a version or the transform hangs; Flink begins anew.

        With another version, where there is one; which event it hung on is searched if need be.
        """
        limit = self._config.model(self._name).registry.hang
        if served is None:
            log.error("the transform has taken %s for a batch; ending the worker", limit)
            os._exit(70)  # nothing else ends a thread in its code
        detail = f"a batch was predicted for {limit}"
        log.error("version %d hangs: %s; ending the worker", served.version, detail)
        try:
            self._quarantine_replaceable(served.version, "hangs", detail)
        finally:
            os._exit(70)  # nothing else ends a thread in a model's code

    def replace(self, version: int, reason: str, detail: str) -> None:
        """Take a version out of the line-up, or, where nothing here can take its place, have the
        next worker begin with another one.

        Raises:
            LookupError: this worker has no other version.
        """
        try:
            self.bar(version, reason, detail)
        except LookupError:
            self._quarantine_replaceable(version, reason, detail)
            raise

    def _quarantine_replaceable(self, version: int, reason: str, detail: str) -> None:
        """Bar a version for all workers, if one that begins anew finds another."""
        postgres = self._config.local_postgres()
        try:
            with connect(postgres, "write", autocommit=True, connect_timeout=_QUICKLY) as store:
                if self._can_do_without(store, version):
                    self.quarantine(store, version, reason, detail)
                else:
                    log.error("no other version could serve: it is not put in quarantine")
        except (DriftlineError, OSError) as error:
            log.error("version %d is not put in quarantine: %s", version, error)

    def _can_do_without(self, connection: Connection, version: int) -> bool:
        """Whether a worker that begins anew finds another champion, see `candidates`."""
        if version != self._lineup.champion.version or self._lineup.previous is not None:
            return True
        barred = {one.version for one in promotions.quarantines(connection, self._name)}
        decided = promotions.made(connection, self._name)
        return promotions.before(decided, version, barred) is not None

    def quarantine(self, connection: Connection, version: int, reason: str, detail: str) -> None:
        """Bar a version for all workers."""
        promotions.quarantine(
            connection,
            self._name,
            version,
            digest=self.digest(version),
            reason=reason,
            detail=detail,
            worker=self.worker,
        )

    def _begin(self, connection: Connection) -> Served:
        """The first version that can be loaded; those before it that cannot go to quarantine."""
        problems: list[DriftlineError] = []
        failed: dict[int, RegistryError] = {}
        for located in candidates(self._config, self._name, connection, problems):
            try:
                served = self.add(self.make(located))
            except RegistryError as error:
                problems.append(error)
                failed[located.version.version] = error
                continue
            for version, why in failed.items():
                self.quarantine(connection, version, "refused", str(why))
            mark_passed(located.folder)  # who begins later may have to go back to it
            self.store(connection, served.version)
            connection.commit()
            promotions.begin(connection, self._name, served.version, by=self.worker)
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
            else RegistryError(f"model {self._name!r} has no version that could serve")
        )
