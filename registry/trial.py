"""A new version's trial: loaded and made to predict in a process of its own, with a time limit.

What crashes, hangs or eats the memory there does no harm to the worker that serves. A process
stands by with TensorFlow imported, and forks for each trial, so that none begins with that; one a
host and model, whatever the number of workers. `python -m registry.trial` is the process.
"""

import base64
import contextlib
import faulthandler
import fcntl
import json
import os
import select
import signal
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
_START = 180.0  # seconds to import TensorFlow on a busy machine: no version's fault
_READY = b"ready\n"
_ANSWERED = 40  # exit code of a trial that has come to its end


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
            ServiceError: its model server is away, no process for trials comes up, or nobody
                came to a result.
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
            _end(self._standby)
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
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,  # of the job's session still, but to be ended with its forks
        )

    def _ready(self) -> subprocess.Popen[bytes]:
        """A process that has imported what it needs; the one that stood by may have been ended."""
        for _ in range(2):
            process, self._standby = self._standby or self._start(), None
            _say(process, b"\n")
            if _line(process, _START) == _READY:
                return process
            _end(process)
        raise ServiceError(
            f"no process for trials has come up in {_START:g} s: see that the machine has the "
            "memory for it (400 MB)"
        )

    def _try(self, path: Path, version: int) -> dict[str, Any]:
        process = self._ready()
        limit = self._registered.trial.total_seconds()
        request = {
            "folder": str(path),
            "registered": self._registered.model_dump(mode="json"),
            "version": version,
            "features": base64.b64encode(self._features.serialize().to_pybytes()).decode(),
            "limit": limit,
        }
        try:
            _say(process, json.dumps(request).encode() + b"\n")
            answer = _line(process, limit)
        except BaseException:
            _end(process)
            raise
        found = _judged(answer, limit)
        if answer:
            self._standby = process
        else:
            _end(process)
        if found.pop("away", False):
            raise ServiceError(found["error"])
        _keep(path, found)
        self.prepare()
        return found


def _say(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended: it will give no answer
        process.stdin.write(line)
        process.stdin.flush()


def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """What the process says next; nothing when it has ended or takes too long."""
    assert process.stdout is not None
    waiting, _, _ = select.select([process.stdout], [], [], seconds)
    return process.stdout.readline() if waiting else b""


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and its forks."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _judged(answer: bytes, limit: float) -> dict[str, Any]:
    if not answer:
        return {"ok": False, "error": f"it has not loaded and predicted within {limit:g} s"}
    found: dict[str, Any] = json.loads(answer)
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
    """Try the version of each line of standard input, answer by a line on standard output.

    An empty line asks whether all is imported.
    """
    answer = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print is no answer
    if "--tensorflow" in sys.argv:
        from registry.loaders.in_process import start  # noqa: PLC0415 - heavy

        start()
    for line in sys.stdin.buffer:  # until the worker is gone
        answer.write(_READY if line == b"\n" else _forked(json.loads(line), answer))


def _forked(request: dict[str, Any], answer: IO[bytes]) -> bytes:
    """Try a version in a fork; gives the answer of one that has died."""
    child = os.fork()
    if child == 0:
        # in C: even a model that never lets go of Python's lock is ended
        faulthandler.dump_traceback_later(2 * request["limit"], exit=True)
        answer.write(json.dumps(_tried(request)).encode() + b"\n")
        os._exit(_ANSWERED)  # TensorFlow takes its time to end
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == _ANSWERED:
        return b""
    error = f"loading it, or its prediction, ended with code {code}"
    return json.dumps({"ok": False, "error": error}).encode() + b"\n"


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
