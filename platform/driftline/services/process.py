"""Detached child processes, identified by more than their pid.

A pid can be reused by another process. A process is the one that was started if its boot ID, its
pid and its start tick match.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from driftline.environment import without_secrets
from driftline.errors import ServiceError
from driftline.services.files import read_json, write_json

# Telemetry off for everything that is started.
QUIET = {"DO_NOT_TRACK": "true", "MLFLOW_DISABLE_TELEMETRY": "true"}

# Children of this very process must be waited for, or they remain as zombies.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Account:
    """An ordinary user's numeric identity, for a server that refuses to run as root."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Command:
    """What to start: arguments (never a secret), folder, additional environment, identity."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None


@dataclass(frozen=True)
class ProcessId:
    """The identity of a process, even after its pid was reused."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId":
        """The identity of a live process."""
        return cls(pid, _stat(pid)[1], _boot())

    @classmethod
    def load(cls, path: Path) -> "ProcessId | None":
        """The identity kept in a file, if there is one."""
        content: Any = read_json(path, None)
        return None if content is None else cls(**content)

    def save(self, path: Path) -> None:
        """Keep the identity in a file."""
        write_json(path, asdict(self))

    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        _reap(self.pid)
        if self.boot != _boot():
            return False
        try:
            state, started = _stat(self.pid)
        except OSError:
            return False
        return state not in "ZX" and started == self.started

    def send(self, number: signal.Signals) -> None:
        """Signal the process, unless it has ended."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def spawn(command: Command, log: Path) -> ProcessId:
    """Start a process in a session of its own, with its output appended to a log.

    It does not inherit environment variables that it does not need: it may run as another user,
    who could read them.

    Raises:
        ServiceError: the system refuses to start it.
    """
    account = command.account
    with log.open("ab") as output:
        try:
            child = subprocess.Popen(
                command.argv,
                cwd=command.cwd,
                env={**without_secrets(os.environ), **QUIET, **command.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                umask=0o077,
            )
        except OSError as error:
            who = f" as user {account.uid}" if account else ""
            raise ServiceError(f"can't run {command.argv[0]!r}{who}: {error.strerror}") from error
    _children[child.pid] = child
    return ProcessId.of(child.pid)


def stop(process: ProcessId, number: signal.Signals, grace: float) -> None:
    """Signal a process to stop, wait up to `grace` seconds, then kill it."""
    process.send(number)
    if not wait_gone(process, grace):
        process.send(signal.SIGKILL)
        wait_gone(process, 10)


def wait_gone(process: ProcessId, seconds: float) -> bool:
    """Wait until a process has ended; False when it has not within `seconds`."""
    deadline = time.monotonic() + seconds
    while process.alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _stat(pid: int) -> tuple[str, int]:
    """State and start tick of a process; OSError when there is none."""
    # The command's name may hold spaces and parentheses: fields are counted after the last one.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], int(fields[19])


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _reap(pid: int) -> None:
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        del _children[pid]
