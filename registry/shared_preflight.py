"""Preflight checks for the workers of a job: each version is checked once a host.

There is one fork server a host and model, however many workers there are.
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
from driftline.registry import preflight
from driftline.registry.columns import blank

_FAILURE_TTL = 60.0  # seconds: a failure ends in quarantine, and the version may be reinstated
_POLL = 0.2  # seconds between two reads of another worker's result


class SharedPreflight:
    """Checks versions for the workers of one model on one host.

    The first worker holds the lock and keeps a fork server; the others wait for its result, which
    is stored next to the version's files. If that worker dies, another one takes over. If it has no
    reason to check a version, for example because it already serves it, a waiting worker checks the
    version itself after the time limit.

    Parameters:
        folder: the cache of versions, shared by the host's workers.
        registered: the model's `registry` section.
        features: the live features.
    """

    def __init__(self, folder: Path, registered: Registry, features: pa.Schema) -> None:
        self._folder = folder
        self._registered = registered
        self._rows = blank(features, preflight.ROWS)
        self._lock: IO[str] | None = None
        self._fork_server = preflight.ForkServer(registered.serving is None)
        self._closed = False

    def prepare(self) -> None:
        """Start the fork server, if this worker holds the lock."""
        if not self._closed and self._acquire_lock():
            self._fork_server.start()

    @staticmethod
    def passed(path: Path) -> bool:
        """Whether a version has passed its check on this host."""
        result = _result(path)
        return result is not None and result["ok"]

    def run(self, path: Path, version: int) -> None:
        """Check a version, or wait for another worker's result.

        Parameters:
            path: the version's folder, of `driftline.registry.files.cache.fetch`.
            version: its number.

        Raises:
            RegistryError: the version fails, with the reason.
            ServiceError: its model server is unavailable, or the fork server does not start.
        """
        deadline = time.monotonic() + self._registered.preflight_timeout.total_seconds()
        result = _result(path)
        while result is None:
            if self._acquire_lock() or time.monotonic() > deadline:
                result = self._check(path, version)
                break
            time.sleep(_POLL)
            result = _result(path)
        if not result["ok"]:
            raise RegistryError(result["error"])

    def close(self) -> None:
        """End the fork server and release the lock to another worker."""
        self._closed = True
        self._fork_server.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _acquire_lock(self) -> bool:
        if self._lock is not None:
            return True
        folder = self._folder / self._registered.name
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".preflight.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            return False
        self._lock = lock
        return True

    def _check(self, path: Path, version: int) -> dict[str, Any]:
        try:
            result = self._fork_server.check(path, self._registered, version, self._rows)
        finally:
            if self._lock is None:  # the worker with the lock keeps the host's fork server
                self._fork_server.close()
        _store(path, result)
        self.prepare()
        return result


def mark_passed(path: Path) -> None:
    """Record that a version needs no check on this host: it already serves."""
    _store(path, {"ok": True})


def _result_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.preflight.json")


def _result(path: Path) -> dict[str, Any] | None:
    try:
        result: dict[str, Any] = json.loads(_result_file(path).read_text())
        age = time.time() - _result_file(path).stat().st_mtime
    except (FileNotFoundError, ValueError):
        return None
    return result if result["ok"] or age < _FAILURE_TTL else None


def _store(path: Path, result: dict[str, Any]) -> None:
    write_private(_result_file(path), json.dumps(result))  # atomic: several workers may write it
