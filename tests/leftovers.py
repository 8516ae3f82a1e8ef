"""Processes of a test run that outlive it are ended, and fail it if nobody interrupted it.

Services run in sessions of their own, and xdist ends its workers after 15 seconds whatever they are
at: a fixture that stops a service may never come to its end. So every process of a run is known by
a variable that children inherit.
"""

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from typing import Any, NoReturn

import psutil
import pytest

MARK = "DRIFTLINE_TEST_RUN"
_GRACE = 5.0  # seconds to end by themselves
_SECONDS = 20.0  # after a SIGTERM

os.environ.setdefault(MARK, uuid.uuid4().hex)  # workers have it from who started them


def processes(run: str) -> list[psutil.Process]:
    """The processes of a run that still live, this one and those that it runs in left out."""
    own = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    return [one for one in psutil.process_iter() if one.pid not in own and _mark(one) == run]


def _mark(process: psutil.Process) -> str | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.environ().get(MARK)
    except (psutil.Error, OSError):  # it has ended, or is another user's
        return None


def _interrupted(number: int, _: Any) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """A SIGTERM stops what fixtures have started, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupted)
    # of what a script runs in the background, no child would hear a Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """End what is left, after all fixtures and all workers have ended."""
    yield
    kept = os.environ.get("DRIFTLINE_TEST_STATE")  # whose services are to run on
    if kept or "PYTEST_XDIST_WORKER" in os.environ:
        return
    left = processes(os.environ[MARK])
    # PyFlink's JVM, and the process for preflight checks, end with their parent
    _, orphans = psutil.wait_procs([one for one in left if _is_orphan(one)], timeout=_GRACE)
    names = ", ".join(sorted({_name(one) for one in orphans}))
    _end(left)
    if not orphans:
        return
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    reporter.write_line(f"\nended {len(orphans)} processes that were left running: {names}")
    if session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_orphan(process: psutil.Process) -> bool:
    try:
        return process.ppid() != os.getpid()
    except psutil.NoSuchProcess:
        return False


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return "(ended)"


def _end(left: list[psutil.Process]) -> None:
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(left, timeout=_SECONDS)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
