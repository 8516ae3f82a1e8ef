"""A new version's trial: loaded and made to predict in a process of its own, with a time limit.

What crashes, hangs or eats its memory there does no harm to who asks. A process stands by with
TensorFlow imported, and forks for each trial, so that none begins with that.
`python -m driftline.registry.trial` is the process.
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

#: Of a prediction: a batch, not one row.
TRIED_ROWS = 100

_START = 180.0  # seconds to import TensorFlow on a busy machine: no version's fault
_READY = b"ready\n"
_MEMORY = 4 * 1024**3  # bytes that a trial may take, and four times the version's files
_ANSWERED = 40  # exit code of a trial that has come to its end

_one_at_a_time = threading.Lock()


def try_out(path: Path, registered: Registry, version: int, rows: pa.RecordBatch | None) -> None:
    """Try a version for a command; the process goes with the command.

    Parameters:
        path: the version's folder.
        registered: the model's `registry` section: the time limit, and what runs the version.
        version: its number.
        rows: feature columns that it must predict besides its input example, if any.

    Raises:
        RegistryError: it fails, with the reason.
        ServiceError: its model server is away, or no process for trials comes up.
    """
    with _one_at_a_time:
        found = _own(registered.serving is None).answer(path, registered, version, rows)
    if not found["ok"]:
        raise RegistryError(found["error"])


class Standby:
    """The process that forks for each trial.

    Parameters:
        tensorflow: whether versions run in process.
    """

    def __init__(self, tensorflow: bool) -> None:
        self._tensorflow = tensorflow
        self._process: subprocess.Popen[bytes] | None = None
        self._taking = threading.Lock()  # while one is in a trial, another thread gets a new one

    def start(self) -> None:
        """Have it import what it needs."""
        with self._taking:
            self._process = self._process or self._started()

    def answer(
        self, path: Path, registered: Registry, version: int, rows: pa.RecordBatch | None
    ) -> dict[str, Any]:
        """What becomes of a trial; see `try_out`.

        Returns:
            `ok`, and the `error` where it is not.

        Raises:
            ServiceError: see `try_out`.
        """
        process = self._ready()
        limit = registered.trial.total_seconds()
        request = {
            "folder": str(path),
            "registered": _hurried(registered).model_dump(mode="json"),
            "version": version,
            "rows": None if rows is None else _packed(rows),
            "limit": limit,
        }
        try:
            _say(process, json.dumps(request).encode() + b"\n")
            answer = _line(process, limit)
        except BaseException:
            _end(process)
            raise
        found = _judged(answer, limit)
        if not (answer and self._stands_by(process)):
            _end(process)
        if found.pop("away", False):
            raise ServiceError(found["error"])
        return found

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            _end(self._process)
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "driftline.registry.trial"]
        if self._tensorflow:
            command.append("--tensorflow")
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,  # of the caller's session still, but to be ended with its forks
        )

    def _stands_by(self, process: subprocess.Popen[bytes]) -> bool:
        """Keep a process for the next trial; False where another one stands by already."""
        with self._taking:
            self._process = self._process or process
            return self._process is process

    def _ready(self) -> subprocess.Popen[bytes]:
        """A process that has imported what it needs; the one that stood by may have been ended."""
        for _ in range(2):
            with self._taking:
                process, self._process = self._process or self._started(), None
            _say(process, b"\n")
            if _line(process, _START) == _READY:
                return process
            _end(process)
        raise ServiceError(
            f"no process for trials has come up in {_START:g} s: see that the machine has the "
            "memory for it (400 MB)"
        )


@cache
def _own(tensorflow: bool) -> Standby:
    """This program's process for trials, for as long as it runs."""
    standby = Standby(tensorflow)
    atexit.register(standby.close)
    return standby


def _hurried(registered: Registry) -> Registry:
    """Its model server is waited for no longer than the trial can wait: to be away is no fault."""
    if (serving := registered.serving) is None:
        return registered
    most = registered.trial / 4
    update = {"patience": min(serving.patience, most), "timeout": min(serving.timeout, most)}
    return registered.model_copy(update={"serving": serving.model_copy(update=update)})


def _packed(rows: pa.RecordBatch) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_batch(rows)
    return base64.b64encode(sink.getvalue()).decode()


def _unpacked(text: str) -> pa.RecordBatch:
    return pa.ipc.open_stream(base64.b64decode(text)).read_next_batch()


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


def main() -> None:
    """Try the version of each line of standard input, answer by a line on standard output.

    An empty line asks whether all is imported.
    """
    answer = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what libraries print is no answer
    if "--tensorflow" in sys.argv:
        from driftline.registry.loaders.in_process import start

        start()
    for module in (
        "files.artifacts",
        "loaders",
        "manifest",
    ):  # once, not in the time of each trial
        importlib.import_module(f"driftline.registry.{module}")
    for line in sys.stdin.buffer:  # until the worker is gone
        answer.write(_READY if line == b"\n" else _forked(json.loads(line), answer))


def _forked(request: dict[str, Any], answer: IO[bytes]) -> bytes:
    """Try a version in a fork; gives the answer of one that has died."""
    child = os.fork()
    if child == 0:
        # in C: even a model that never lets go of Python's lock is ended
        faulthandler.dump_traceback_later(2 * request["limit"], exit=True)
        _limit_memory(Path(request["folder"]))
        answer.write(json.dumps(_tried(request)).encode() + b"\n")
        os._exit(_ANSWERED)  # TensorFlow takes its time to end
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == _ANSWERED:
        return b""
    error = f"loading it, or its prediction, ended with code {code}"
    if code == -signal.SIGABRT:  # how C++ ends where memory is refused
        error += "; as when it takes far more memory than its files"
    return json.dumps({"ok": False, "error": error}).encode() + b"\n"


def _limit_memory(folder: Path) -> None:
    """A few bytes may ask for more memory than there is; a trial gets what real versions need."""
    try:
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return  # not Linux, which alone holds to this limit
    taken = int(status.partition("VmData:")[2].split()[0]) * 1024
    files = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    most = taken + _MEMORY + 4 * files
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _tried(request: dict[str, Any]) -> dict[str, Any]:
    try:
        _load_and_predict(request)
    except ServiceError as error:
        return {"ok": False, "error": str(error), "away": True}
    except DriftlineError as error:
        return {"ok": False, "error": str(error)}
    except MemoryError:
        return {"ok": False, "error": "it takes far more memory than its files"}
    except Exception as error:
        return {"ok": False, "error": f"{type(error).__name__}: {error}"}
    return {"ok": True}


def _load_and_predict(request: dict[str, Any]) -> None:
    from driftline.registry import manifest
    from driftline.registry.files import artifacts
    from driftline.registry.loaders import load
    from driftline.registry.runtime import score

    folder = Path(request["folder"])
    if (folder / names.BINNING_ARTIFACT).is_file():  # at its registration it has none yet
        artifacts.read(folder)
    registered = Registry.model_validate(request["registered"])
    runtime = load(folder, registered, request["version"])
    if request["rows"] is not None:
        rows = _unpacked(request["rows"])
        runtime.check(rows.schema)
        lacking, _ = runtime.unusable(rows)
        if not lacking.all():
            runtime.predict(rows.filter(pa.array(~lacking)))
    example = manifest.example(folder, runtime.inputs)
    if example is None:
        return
    scores = score(runtime.predict(example), runtime.score)
    if not np.isfinite(scores).all():
        raise RegistryError(f"it gives its input example the scores {scores.tolist()}")


if __name__ == "__main__":
    main()
