"""A new version's trial: loaded and made to predict in a process of its own, with a time limit.

What crashes, hangs or eats the memory there does no harm to the worker that serves. The process
stands by with TensorFlow imported, so that a trial does not begin with that; one a host and
model, whatever the number of workers. `python -m registry.trial` is the process.
"""

import base64
import faulthandler
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from driftline.config import Registry
from driftline.errors import DriftlineError, RegistryError, ServiceError

_FRESH = 60.0  # seconds that a failure counts: it ends in quarantine, and may be let out again
_WAIT = 0.2  # seconds between two looks for another worker's result
_ROWS = 100  # of the second prediction: a batch, not one row


class Trials:
    """Tries versions for the workers of one model on one host.

    The first worker holds the lock and keeps a process standing by; the others wait for what it
    finds out, which stands beside the version's files. If it dies, another takes its place.

    Parameters:
        folder: of the cache of versions, shared by the host's workers.
        registered: the model's `registry` section.
        features: the live features.
    """

    def __init__(self, folder: Path, registered: Registry, features: pa.Schema) -> None:
        self._folder = folder
        self._registered = registered
        self._features = features
        self._lock: IO[str] | None = None
        self._standby: subprocess.Popen[bytes] | None = None
        self._closed = False

    def prepare(self) -> None:
        """Have a process stand by, if this worker is the one to do so."""
        if not self._closed and self._standby is None and self._owns():
            self._standby = self._start()

    @staticmethod
    def passed(path: Path) -> bool:
        """Whether a version has passed its trial on this host."""
        found = _result(path)
        return found is not None and found["ok"]

    def run(self, path: Path, version: int) -> None:
        """Try a version, or wait for another worker's trial of it.

        Args:
            path: the version's folder, of `registry.cache.fetch`.
            version: its number.

        Raises:
            RegistryError: it fails, with the reason.
            ServiceError: its model server is away, or nobody came to a result.
        """
        limit = self._registered.trial.total_seconds()
        until = time.monotonic() + 2 * limit
        found = _result(path)
        while found is None:
            if self._owns():
                found = self._try(path, version)
                break
            if time.monotonic() > until:
                raise ServiceError(f"no worker has tried version {version} in {2 * limit:g} s")
            time.sleep(_WAIT)
            found = _result(path)
        if not found["ok"]:
            raise RegistryError(found["error"])

    def close(self) -> None:
        """End the process that stands by, and let another worker have the lock."""
        self._closed = True
        if self._standby is not None:
            self._standby.kill()
            self._standby.wait()
            self._standby = None
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

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "registry.trial"]
        if self._registered.serving is None:
            command.append("--tensorflow")
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )

    def _try(self, path: Path, version: int) -> dict[str, Any]:
        process = self._standby or self._start()
        self._standby = None
        limit = self._registered.trial.total_seconds()
        request = {
            "folder": str(path),
            "registered": self._registered.model_dump(mode="json"),
            "version": version,
            "features": base64.b64encode(self._features.serialize().to_pybytes()).decode(),
            "limit": limit,
        }
        answer, timed_out = _ask(process, json.dumps(request).encode(), limit)
        found = _judged(answer, process.returncode, limit if timed_out else None)
        if found.pop("away", False):
            raise ServiceError(found["error"])
        _keep(path, found)
        self.prepare()
        return found


def _ask(process: subprocess.Popen[bytes], request: bytes, limit: float) -> tuple[bytes, bool]:
    """What the process answers, and whether it took too long."""
    try:
        return process.communicate(request, timeout=limit)[0], False
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0], True
    except BaseException:
        process.kill()
        process.wait()
        raise


def _judged(answer: bytes, code: int, limit: float | None) -> dict[str, Any]:
    if limit is not None:
        return {"ok": False, "error": f"it has not loaded and predicted within {limit:g} s"}
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError:
        return {"ok": False, "error": f"loading it, or its prediction, ended with code {code}"}
    return found


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
    partial = _marker(path).with_suffix(".partial")
    partial.write_text(json.dumps(found))
    partial.replace(_marker(path))


def main() -> None:
    """Wait for one request on standard input, try that version, answer on standard output."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    if "--tensorflow" in sys.argv:
        from registry.loaders.in_process import start  # noqa: PLC0415 - heavy

        start()
    line = sys.stdin.buffer.read()
    if not line:
        return  # the worker is gone
    request = json.loads(line)
    # in C: even a model that never lets go of Python's lock is ended
    faulthandler.dump_traceback_later(2 * request["limit"], exit=True)
    answer.write(json.dumps(_tried(request)).encode())
    answer.close()
    os._exit(0)  # TensorFlow takes its time to end


def _tried(request: dict[str, Any]) -> dict[str, Any]:
    try:
        _load_and_predict(request)
    except ServiceError as error:
        return {"ok": False, "error": str(error), "away": True}
    except DriftlineError as error:
        return {"ok": False, "error": str(error)}
    except Exception as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}
    return {"ok": True}


def _load_and_predict(request: dict[str, Any]) -> None:
    from registry import manifest  # noqa: PLC0415 - heavy
    from registry.columns import blank  # noqa: PLC0415 - heavy
    from registry.loaders import load  # noqa: PLC0415 - heavy
    from registry.runtime import score  # noqa: PLC0415 - heavy

    folder = Path(request["folder"])
    features = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(request["features"])))
    registered = Registry.model_validate(request["registered"])
    runtime = load(folder, registered, request["version"])
    runtime.check(features)
    one = blank(features)
    runtime.predict(pa.Table.from_batches([one] * _ROWS).combine_chunks().to_batches()[0])
    example = manifest.example(folder, runtime.inputs)
    if example is None:
        return
    scores = score(runtime.predict(example))
    if not np.isfinite(scores).all():
        raise RegistryError(f"it gives its input example the scores {scores.tolist()}")


if __name__ == "__main__":
    main()
