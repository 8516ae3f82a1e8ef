"""Finds the events that crash or hang a worker, by processing them in forks.

An event that kills a worker would kill it again after each restart. So each event is processed
alone, in a fork that first records it in shared memory: when the fork dies, the event is known. An
event is reported only if it kills a second fork too, in which another event has just passed: then
neither the version, nor the machine, nor somebody's `kill` is the cause.

`python -m driftline.streaming.scoring.crash_search` is the process that forks.
"""

import json
import mmap
import os
import pickle
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from driftline.config import Config
from driftline.errors import DriftlineError
from driftline.streaming.scoring.batch_scorer import BatchScorer, Messages
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.lineup import Lineup, Served
from driftline.streaming.scoring.rejects import Rejects

#: More crashing events than this in a batch are the fault of a version, or of the transform.
MAX_EVENTS = 20

_CONTROLS = 3  # other events to try; if they all fail too, no event is to blame
_POLL_SECONDS = 0.02
_PASSED, _RAISED = 40, 41  # exit codes of a fork that was not killed
_TEXT_BYTES = 1_000

#: Called in a fork; returns the function that processes one message.
Start = Callable[[], Callable[[int], object]]


@dataclass(frozen=True)
class Request:
    """A batch to search, and the versions that score it.

    Attributes:
        config, model: the config and the name of the model in it.
        messages: a batch of n messages that killed workers.
        versions: number and folder of the versions that score it, champion first.
    """

    config: Config
    model: str
    messages: Messages
    versions: Sequence[tuple[int, Path]]


@dataclass
class Crashes:
    """Result of a search.

    Attributes:
        events: message -> how a process that handles it ends.
        versions: version -> how it ends a process, with any event.
        cause: why no event can be blamed; "" if each event passed or is in `events`.
    """

    events: dict[int, str] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)
    cause: str = ""


def find_crashes(request: Request) -> Crashes:
    """Process each message of a batch alone, see the module's docstring.

    Raises:
        DriftlineError: the search itself failed.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "driftline.streaming.scoring.crash_search"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as search:
        try:
            output, _ = search.communicate(pickle.dumps(request))
        except BaseException:
            search.kill()
            raise
    if search.returncode != 0:
        raise DriftlineError(f"search for crashing events failed: exit code {search.returncode}")
    result = json.loads(output)
    return Crashes(
        {int(message): text for message, text in result["events"].items()},
        {int(version): text for version, text in result["versions"].items()},
        result["cause"],
    )


def main() -> None:
    """Read a pickled request from standard input, write the result as JSON."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # keep what libraries print out of the result
    request: Request = pickle.load(sys.stdin.buffer)  # noqa: S301 - written by the worker to a pipe
    model = request.config.model(request.model)
    if model.registry.serving is None:
        from driftline.registry.loaders.in_process import import_tensorflow

        import_tensorflow()  # loads TensorFlow once instead of in each fork
    crashes = search(
        len(request.messages.payloads),
        _features(request),
        [(number, _scores(request, number, folder)) for number, folder in request.versions],
        load_seconds=model.registry.preflight_timeout.total_seconds(),
        row_seconds=model.registry.batch_timeout.total_seconds(),
    )
    result = {"events": crashes.events, "versions": crashes.versions, "cause": crashes.cause}
    output.write(json.dumps(result).encode())


def _features(request: Request) -> Start:
    scorer = _scorer(request)

    def extract(message: int) -> None:
        messages = request.messages.take(np.array([message]))
        scorer.features(messages, Rejects(messages.payloads))

    return lambda: extract


def _scores(request: Request, version: int, folder: Path) -> Start:
    from driftline.registry.loaders import load

    scorer, registered = _scorer(request), request.config.model(request.model).registry

    def start() -> Callable[[int], object]:
        lineup = Lineup(Served(version, load(folder, registered, version)))
        return lambda message: scorer(request.messages.take(np.array([message])), lineup)

    return start


def _scorer(request: Request) -> BatchScorer:
    model = request.config.model(request.model)
    return BatchScorer(DECODERS[model.input.decoder](model.input), FeatureDefinition(model))


def search(
    n: int,
    features: Start,
    versions: Sequence[tuple[int, Start]],
    *,
    load_seconds: float,
    row_seconds: float,
) -> Crashes:
    """Search n messages.

    Parameters:
        features: computes the features of a message, which all versions share.
        versions: number of each version, champion first, and what scores a message with it.
        load_seconds, row_seconds: time limits of a start and of one message.
    """
    crashes = Crashes()
    (champion, _), *other_versions = versions
    forks = [_Forks(start, load_seconds, row_seconds) for _, start in [(0, features), *versions]]
    crashes.cause = _search_events(n, forks[1], crashes.events)
    if crashes.cause:
        crashes.events.clear()
        if forks[0].run(range(n)) is None:
            crashes.versions[champion] = crashes.cause
        return crashes
    remaining = [message for message in range(n) if message not in crashes.events]
    for (version, _), fork in zip(other_versions, forks[2:], strict=True):
        failure = fork.run(remaining)
        if failure and failure.position >= 0 and fork.run([remaining[failure.position]]):
            crashes.versions[version] = failure.reason
    return crashes


def _search_events(n: int, forks: "_Forks", events: dict[int, str]) -> str:
    """Find the messages that crash a fork; returns why none can be blamed, or ""."""
    first = 0
    while first < n:
        failure = forks.run(range(first, n))
        if failure is None:
            break
        if failure.position < 0:
            return failure.reason
        message = first + failure.position
        control = message - 1 if failure.position else _control(n, message, forks, events)
        if control is None:
            return f"{failure.reason} on every event that was tried"
        repeated = forks.run([*([control] if control >= 0 else []), message])
        if repeated is not None and repeated.position == (control >= 0):
            events[message] = repeated.reason
        if len(events) > MAX_EVENTS:
            return f"{failure.reason} on more than {MAX_EVENTS} of {n} events"
        first = message + 1
    return ""


def _control(n: int, message: int, forks: "_Forks", events: dict[int, str]) -> int | None:
    """Another message that passes; -1 if there are too few to try, None if those tried fail."""
    earlier = [other for other in range(message) if other not in events]
    controls = [*earlier[-1:], *range(message + 1, n)][:_CONTROLS]
    default = None if len(controls) == _CONTROLS else -1
    return next((control for control in controls if forks.run([control]) is None), default)


@dataclass(frozen=True)
class _Failure:
    """How a fork failed, and at which position of its rows; -1 if no row is the cause."""

    position: int
    reason: str


class _Forks:
    """Processes rows one by one in a fork of this process.

    Parameters:
        start: called in the fork; returns the function that processes one row.
        load_seconds: time limit of `start`.
        row_seconds: time limit of a row.
    """

    def __init__(self, start: Start, load_seconds: float, row_seconds: float) -> None:
        self._start = start
        self._limits = load_seconds, row_seconds

    def run(self, rows: Sequence[int]) -> _Failure | None:
        """Process rows in a new fork; returns None if all of them passed."""
        with mmap.mmap(-1, 8 + _TEXT_BYTES) as shared:
            shared[:8] = struct.pack("q", -1)
            child = os.fork()
            if child == 0:
                _run_fork(self._start, rows, shared)
            try:
                reason = self._wait(child, shared)
            except BaseException:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise
            return None if reason is None else _Failure(_position(shared), reason)

    def _wait(self, child: int, shared: mmap.mmap) -> str | None:
        worker, position, since = os.getppid(), -1, time.monotonic()
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return _reason(os.waitstatus_to_exitcode(status), shared)
            if os.getppid() != worker:
                raise DriftlineError("the worker that requested the search has exited")
            if _position(shared) != position:
                position, since = _position(shared), time.monotonic()
            limit = self._limits[position >= 0]
            if time.monotonic() - since > limit:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return f"takes longer than {limit:g} s"
            time.sleep(_POLL_SECONDS)


def _run_fork(start: Start, rows: Sequence[int], shared: mmap.mmap) -> None:
    """Process the rows and exit; runs in the fork."""
    code = _RAISED
    try:
        process = start()
        for position, row in enumerate(rows):
            shared[:8] = struct.pack("q", position)
            process(row)
        code = _PASSED
    except BaseException as error:  # of a service such as a model server, so not the row's fault
        shared[:8] = struct.pack("q", -1)
        text = f"{type(error).__name__}: {error}".encode()[: _TEXT_BYTES - 1]
        shared[8 : 8 + len(text)] = text
    finally:
        os._exit(code)  # TensorFlow's own shutdown is slow


def _position(shared: mmap.mmap) -> int:
    position: int = struct.unpack("q", shared[:8])[0]
    return position


def _reason(code: int, shared: mmap.mmap) -> str | None:
    if code == _PASSED:
        return None
    if code == _RAISED:
        return "fails: " + shared[8:].rstrip(b"\0").decode(errors="replace")
    if code < 0:
        return f"ends the process with {signal.Signals(-code).name}"
    return f"ends the process with code {code}"


if __name__ == "__main__":
    main()
