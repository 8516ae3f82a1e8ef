"""Trials for the workers of a job: each version is tried once a host, whoever asks.

The process for trials is one a host and model, whatever the number of workers.
"""

import fcntl
import json
import time
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from driftline.config import Registry
from driftline.errors import RegistryError
from driftline.private_files import write_private
from driftline.registry.columns import blank
from driftline.registry.trial import TRIED_ROWS, Standby

_FRESH = 60.0  # seconds that a failure counts: it ends in quarantine, and may be let out again
_WAIT = 0.2  # seconds between two looks for another worker's result


class Trials:
    """Tries versions for the workers of one model on one host.

    The first worker holds the lock and keeps a process standing by; the others wait for what it
    finds out, which stands beside the version's files. If it dies, another takes its place; if it
    has no reason to try a version, such as one that it serves, who waits tries it after a while.

    Parameters:
        folder: of the cache of versions, shared by the host's workers.
        registered: the model's `registry` section.
        features: the live features.
    """

    def __init__(self, folder: Path, registered: Registry, features: pa.Schema) -> None:
        self._folder = folder
        self._registered = registered
        self._rows = blank(features, TRIED_ROWS)
        self._lock: IO[str] | None = None
        self._standby = Standby(registered.serving is None)
        self._closed = False

    def prepare(self) -> None:
        """Have a process stand by, if this worker is the one to do so."""
        if not self._closed and self._owns():
            self._standby.start()

    @staticmethod
    def passed(path: Path) -> bool:
        """Whether a version has passed its trial on this host."""
        found = _result(path)
        return found is not None and found["ok"]

    def run(self, path: Path, version: int) -> None:
        """Try a version, or wait for another worker's trial of it.

        Args:
            path: the version's folder, of `driftline.registry.files.cache.fetch`.
            version: its number.

        Raises:
            RegistryError: it fails, with the reason.
            ServiceError: its model server is away, or no process for trials comes up.
        """
        until = time.monotonic() + self._registered.trial.total_seconds()
        found = _result(path)
        while found is None:
            if self._owns() or time.monotonic() > until:
                found = self._try(path, version)
                break
            time.sleep(_WAIT)
            found = _result(path)
        if not found["ok"]:
            raise RegistryError(found["error"])

    def close(self) -> None:
        """End the process that stands by, and let another worker have the lock."""
        self._closed = True
        self._standby.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _owns(self) -> bool:
        if self._lock is not None:
            return True
        folder = self._folder / self._registered.name
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".trial.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return False
        self._lock = lock
        return True

    def _try(self, path: Path, version: int) -> dict[str, Any]:
        try:
            found = self._standby.answer(path, self._registered, version, self._rows)
        finally:
            if self._lock is None:  # it is the other worker's that stands by
                self._standby.close()
        _keep(path, found)
        self.prepare()
        return found


def mark_passed(path: Path) -> None:
    """Take down that a version needs no trial on this host: it serves."""
    _keep(path, {"ok": True})


def _marker(path: Path) -> Path:
    return path.with_name(f"{path.name}.trial.json")


def _result(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(_marker(path).read_text())
        age = time.time() - _marker(path).stat().st_mtime
    except (FileNotFoundError, ValueError):
        return None
    return found if found["ok"] or age < _FRESH else None


def _keep(path: Path, found: dict[str, Any]) -> None:
    write_private(_marker(path), json.dumps(found))  # several workers may, at the same time
