"""The preflight check of a new version: it is loaded and predicts in a process of its own.

A version that crashes, hangs or exhausts its memory there does no harm to the caller. A fork server
with TensorFlow already imported runs each check in a fork, so that no check pays for that import.
`python -m driftline.registry.preflight` is the fork server.
"""

import atexit
import base64
import contextlib
import faulthandler
import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from driftline import names
from driftline.config import Registry
from driftline.errors import DriftlineError, RegistryError, ServiceError

#: Rows to predict: some models work with one row and fail with a batch.
ROWS = 100

_START_TIMEOUT = 180.0  # seconds to import TensorFlow on a busy machine; not the version's fault
_READY = b"ready\n"
_MEMORY = 4 * 1024**3  # bytes that a check may use, plus four times the size of the version's files
_COMPLETED = 40  # exit code of a fork that has written its result

_one_at_a_time = threading.Lock()


def check(path: Path, registered: Registry, version: int, rows: pa.RecordBatch | None) -> None:
    """Check a version for a command; the fork server ends with the command.

    Parameters:
        path: the version's folder.
        registered: the model's `registry` section: the time limit, and what runs the version.
        version: its number.
        rows: feature columns that it must predict besides its input example, if any.

    Raises:
        RegistryError: the version fails, with the reason.
        ServiceError: its model server is unavailable, or the fork server does not start.
    """
    with _one_at_a_time:
        result = _fork_server(registered.serving is None).check(path, registered, version, rows)
    if not result["ok"]:
        raise RegistryError(result["error"])


class ForkServer:
    """The process that forks for each check.

    Parameters:
        tensorflow: whether versions run in process.
    """

    def __init__(self, tensorflow: bool) -> None:
        self._tensorflow = tensorflow
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()  # a thread that finds no idle process starts another one

    def start(self) -> None:
        """Start the process in the background."""
        with self._lock:
            self._process = self._process or self._spawn()

    def check(
        self, path: Path, registered: Registry, version: int, rows: pa.RecordBatch | None
    ) -> dict[str, Any]:
        """Run a check; for the parameters see the function `check`.

        Returns:
            `ok`, and the `error` if it is false.

        Raises:
            ServiceError: see the function `check`.
        """
        process = self._acquire()
        limit = registered.preflight_timeout.total_seconds()
        request = {
            "folder": str(path),
            "registered": _limit_waiting(registered).model_dump(mode="json"),
            "version": version,
            "rows": None if rows is None else _serialize(rows),
            "limit": limit,
        }
        try:
            _send(process, json.dumps(request).encode() + b"\n")
            answer = _receive(process, limit)
        except BaseException:
            _kill(process)
            raise
        result = _parse(answer, limit)
        if not (answer and self._release(process)):
            _kill(process)
        if result.pop("unavailable", False):
            raise ServiceError(result["error"])
        return result

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            _kill(self._process)
            self._process = None

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "driftline.registry.preflight"]
        if self._tensorflow:
            command.append("--tensorflow")
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,  # still in the caller's session, but can be killed with its forks
        )

    def _release(self, process: subprocess.Popen[bytes]) -> bool:
        """Keep a process for the next check; False if another one is kept already."""
        with self._lock:
            self._process = self._process or process
            return self._process is process

    def _acquire(self) -> subprocess.Popen[bytes]:
        """A process that has finished its imports; the idle one may have been killed meanwhile."""
        for _ in range(2):
            with self._lock:
                process, self._process = self._process or self._spawn(), None
            _send(process, b"\n")
            if _receive(process, _START_TIMEOUT) == _READY:
                return process
            _kill(process)
        raise ServiceError(
            f"the process for preflight checks did not start within {_START_TIMEOUT:g} s: make "
            "sure that the machine has the memory for it (400 MB)"
        )


@cache
def _fork_server(tensorflow: bool) -> ForkServer:
    """This program's own, for as long as it runs."""
    server = ForkServer(tensorflow)
    atexit.register(server.close)
    return server


def _limit_waiting(registered: Registry) -> Registry:
    """Wait for a model server less than the check's limit: an outage is not the version's fault."""
    if (serving := registered.serving) is None:
        return registered
    limit = registered.preflight_timeout / 4
    update = {"retry_for": min(serving.retry_for, limit), "timeout": min(serving.timeout, limit)}
    return registered.model_copy(update={"serving": serving.model_copy(update=update)})


def _serialize(rows: pa.RecordBatch) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_batch(rows)
    return base64.b64encode(sink.getvalue()).decode()


def _deserialize(text: str) -> pa.RecordBatch:
    return pa.ipc.open_stream(base64.b64decode(text)).read_next_batch()


def _send(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it has ended and will not answer
        process.stdin.write(line)
        process.stdin.flush()


def _receive(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """The next line that the process writes; empty if it has ended or takes too long."""
    assert process.stdout is not None
    waiting, _, _ = select.select([process.stdout], [], [], seconds)
    return process.stdout.readline() if waiting else b""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its forks."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _parse(answer: bytes, limit: float) -> dict[str, Any]:
    if not answer:
        return {"ok": False, "error": f"it did not load and predict within {limit:g} s"}
    result: dict[str, Any] = json.loads(answer)
    return result


def main() -> None:
    """Check the version of each line of standard input; write the result to standard output.

    An empty line asks whether the imports are finished.
    """
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # libraries print to standard output, too
    if "--tensorflow" in sys.argv:
        from driftline.registry.loaders.in_process import import_tensorflow

        import_tensorflow()
    for module in ("files.artifacts", "loaders", "manifest"):
        # once, and outside the time limit of each check
        importlib.import_module(f"driftline.registry.{module}")
    for line in sys.stdin.buffer:  # ends when the caller does
        output.write(_READY if line == b"\n" else _check_in_fork(json.loads(line), output))


def _check_in_fork(request: dict[str, Any], output: IO[bytes]) -> bytes:
    """Check a version in a fork, which writes the result; returns one only if the fork died."""
    child = os.fork()
    if child == 0:
        # a timer in C: it also ends a model that never releases Python's global lock
        faulthandler.dump_traceback_later(2 * request["limit"], exit=True)
        _limit_memory(Path(request["folder"]))
        output.write(json.dumps(_result(request)).encode() + b"\n")
        os._exit(_COMPLETED)  # without TensorFlow's slow cleanup
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == _COMPLETED:
        return b""
    error = f"loading or prediction ended the process with exit code {code}"
    if code == -signal.SIGABRT:  # how C++ ends when memory is refused
        error += " (typical of a model that needs far more memory than its files)"
    return json.dumps({"ok": False, "error": error}).encode() + b"\n"


def _limit_memory(folder: Path) -> None:
    """A few bytes can ask for any amount of memory; a check gets what real versions need."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return  # only Linux enforces this limit
    used = int(status.partition("VmData:")[2].split()[0]) * 1024
    files = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    limit = used + _MEMORY + 4 * files
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _result(request: dict[str, Any]) -> dict[str, Any]:
    try:
        _load_and_predict(request)
    except ServiceError as error:
        return {"ok": False, "error": str(error), "unavailable": True}
    except DriftlineError as error:
        return {"ok": False, "error": str(error)}
    except MemoryError:
        return {"ok": False, "error": "it needs far more memory than its files"}
    except Exception as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}
    return {"ok": True}


def _load_and_predict(request: dict[str, Any]) -> None:
    from driftline.registry import manifest
    from driftline.registry.files import artifacts
    from driftline.registry.loaders import load
    from driftline.registry.runtime import score

    folder = Path(request["folder"])
    if (folder / names.BINNING_ARTIFACT).is_file():  # not there yet when it is being registered
        artifacts.read(folder)
    registered = Registry.model_validate(request["registered"])
    runtime = load(folder, registered, request["version"])
    if request["rows"] is not None:
        rows = _deserialize(request["rows"])
        runtime.check(rows.schema)
        unusable, _ = runtime.unusable(rows)
        if not unusable.all():
            runtime.predict(rows.filter(pa.array(~unusable)))
    example = manifest.read_example(folder, runtime.inputs)
    if example is None:
        return
    scores = score(runtime.predict(example), runtime.score)
    if not np.isfinite(scores).all():
        raise RegistryError(f"the scores of its input example are not finite: {scores.tolist()}")


if __name__ == "__main__":
    main()
