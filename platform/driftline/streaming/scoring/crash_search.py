"""Finds the events on which a worker dies or hangs, in processes that may.

A worker that is killed by one event would be killed by it again after each restart. So an event is
processed alone, in a fork that notes it in shared memory first: what ends the fork is known. An
event is named only when it ends a second fork too, in which another event has just passed: then
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
from driftline.streaming.scoring.decode import DECODERS
from driftline.streaming.scoring.features import FeatureDefinition
from driftline.streaming.scoring.lineup import Lineup, Served
from driftline.streaming.scoring.process import Messages, Process
from driftline.streaming.scoring.rejects import Rejects

#: More such events in a batch are the fault of a version, or of the transform.
MOST_EVENTS = 20

_WITNESSES = 3  # events that may fail in a row before no event is to blame
_POLL_SECONDS = 0.02
_PASSED, _RAISED = 40, 41  # exit codes of a fork that came to an end
_TEXT_BYTES = 1_000

#: Makes, in a fork, the function that processes one message.
Start = Callable[[], Callable[[int], object]]


@dataclass(frozen=True)
class Request:
    """What to search.

    Attributes:
        config, model: which model.
        messages: a batch of n messages, on which workers have died.
        versions: number and folder of those that score it; the champion first.
    """

    config: Config
    model: str
    messages: Messages
    versions: Sequence[tuple[int, Path]]


@dataclass
class Crashes:
    """What a search has found.

    Attributes:
        events: message -> how a process ends that processes it.
        versions: versions on whose account a process ends, not that of an event; and how.
        cause: why no event can be named; "" where each passed or is named.
    """

    events: dict[int, str] = field(default_factory=dict)
    versions: dict[int, str] = field(default_factory=dict)
    cause: str = ""


def find_crashes(request: Request) -> Crashes:
    """Process each message of a batch alone; see the module.

    Raises:
        DriftlineError: the search itself has ended before its time.
    """
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "driftline.streaming.scoring.crash_search"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    ) as search:
        try:
            answer, _ = search.communicate(pickle.dumps(request))
        except BaseException:
            search.kill()
            raise
    if search.returncode != 0:
        raise DriftlineError(f"the search for events that end a worker: code {search.returncode}")
    found = json.loads(answer)
    return Crashes(
        {int(message): text for message, text in found["events"].items()},
        {int(version): text for version, text in found["versions"].items()},
        found["cause"],
    )


def main() -> None:
    """Read a pickled request from standard input, write what is found as JSON."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    request: Request = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the worker, by a pipe
    model = request.config.model(request.model)
    if model.registry.serving is None:
        from driftline.registry.loaders.in_process import start

        start()  # once, not in each fork
    crashes = search(
        len(request.messages.payloads),
        _features(request),
        [(number, _scores(request, number, folder)) for number, folder in request.versions],
        load_seconds=model.registry.trial.total_seconds(),
        row_seconds=model.registry.hang.total_seconds(),
    )
    text = {"events": crashes.events, "versions": crashes.versions, "cause": crashes.cause}
    answer.write(json.dumps(text).encode())


def _features(request: Request) -> Start:
    process = _process_of(request)

    def make(message: int) -> None:
        messages = request.messages.take(np.array([message]))
        process.features(messages, Rejects(messages.payloads))

    return lambda: make


def _scores(request: Request, version: int, folder: Path) -> Start:
    from driftline.registry.loaders import load

    process, registered = _process_of(request), request.config.model(request.model).registry

    def start() -> Callable[[int], object]:
        lineup = Lineup(Served(version, load(folder, registered, version)))
        return lambda message: process(request.messages.take(np.array([message])), lineup)

    return start


def _process_of(request: Request) -> Process:
    model = request.config.model(request.model)
    return Process(DECODERS[model.input.decoder](model.input), FeatureDefinition(model))


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
        features: for what is made of a message for all versions.
        versions: number of each version, champion first, and for what it makes of a message.
        load_seconds, row_seconds: how long a start, and one message, may take.
    """
    crashes = Crashes()
    (champion, _), *others = versions
    forks = [_Forks(one, load_seconds, row_seconds) for _, one in [(0, features), *versions]]
    crashes.cause = _search_events(n, forks[1], crashes.events)
    if crashes.cause:
        crashes.events.clear()
        if forks[0].run(range(n)) is None:
            crashes.versions[champion] = crashes.cause
        return crashes
    left = [message for message in range(n) if message not in crashes.events]
    for (version, _), fork in zip(others, forks[2:], strict=True):
        end = fork.run(left)
        if end is not None and end.row >= 0 and fork.run([left[end.row]]) is not None:
            crashes.versions[version] = end.how
    return crashes


def _search_events(n: int, forks: "_Forks", events: dict[int, str]) -> str:
    """Find the messages that end a fork; gives the reason why none can be named, or ""."""
    first = 0
    while first < n:
        end = forks.run(range(first, n))
        if end is None:
            break
        if end.row < 0:
            return end.how
        message = first + end.row
        witness = message - 1 if end.row else _witness(n, message, forks, events)
        if witness is None:
            return f"{end.how} on all of the events that were tried"
        again = forks.run([*([witness] if witness >= 0 else []), message])
        if again is not None and again.row == (witness >= 0):
            events[message] = again.how
        if len(events) > MOST_EVENTS:
            return f"{end.how} on more than {MOST_EVENTS} of {n} events"
        first = message + 1
    return ""


def _witness(n: int, message: int, forks: "_Forks", events: dict[int, str]) -> int | None:
    """Another message that passes; -1 where there is none to try, None where those tried do not."""
    earlier = [other for other in range(message) if other not in events]
    others = [*earlier[-1:], *range(message + 1, n)][:_WITNESSES]
    none = None if len(others) == _WITNESSES else -1
    return next((other for other in others if forks.run([other]) is None), none)


@dataclass(frozen=True)
class _End:
    """How a fork ended, and in which place of its rows; -1 where no row ended it."""

    row: int
    how: str


class _Forks:
    """Runs rows one by one in a fork of this process.

    Parameters:
        start: in the fork, makes the function that processes one row.
        load_seconds: how long that may take.
        row_seconds: how long a row may take.
    """

    def __init__(self, start: Start, load_seconds: float, row_seconds: float) -> None:
        self._start = start
        self._limits = load_seconds, row_seconds

    def run(self, rows: Sequence[int]) -> _End | None:
        """Gives where and how the fork ended, None if all rows passed."""
        with mmap.mmap(-1, 8 + _TEXT_BYTES) as shared:
            shared[:8] = struct.pack("q", -1)
            child = os.fork()
            if child == 0:
                _process(self._start, rows, shared)
            try:
                how = self._wait(child, shared)
            except BaseException:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise
            return None if how is None else _End(_row(shared), how)

    def _wait(self, child: int, shared: mmap.mmap) -> str | None:
        worker, row, since = os.getppid(), -1, time.monotonic()
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return _how(os.waitstatus_to_exitcode(status), shared)
            if os.getppid() != worker:
                raise DriftlineError("the worker that has asked is gone")
            if _row(shared) != row:
                row, since = _row(shared), time.monotonic()
            limit = self._limits[row >= 0]
            if time.monotonic() - since > limit:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return f"takes longer than {limit:g} s"
            time.sleep(_POLL_SECONDS)


def _process(start: Start, rows: Sequence[int], shared: mmap.mmap) -> None:
    """What a fork does."""
    code = _RAISED
    try:
        process = start()
        for place, row in enumerate(rows):
            shared[:8] = struct.pack("q", place)
            process(row)
        code = _PASSED
    except BaseException as error:  # of a service, such as a model server: no row's fault
        shared[:8] = struct.pack("q", -1)
        text = f"{type(error).__name__}: {error}".encode()[: _TEXT_BYTES - 1]
        shared[8 : 8 + len(text)] = text
    finally:
        os._exit(code)  # TensorFlow takes its time to end


def _row(shared: mmap.mmap) -> int:
    row: int = struct.unpack("q", shared[:8])[0]
    return row


def _how(code: int, shared: mmap.mmap) -> str | None:
    if code == _PASSED:
        return None
    if code == _RAISED:
        return "fails: " + shared[8:].rstrip(b"\0").decode(errors="replace")
    if code < 0:
        return f"ends the process with {signal.Signals(-code).name}"
    return f"ends the process with code {code}"


if __name__ == "__main__":
    main()
