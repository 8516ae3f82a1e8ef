"""Run a program to its end; if it fails, the error ends with its last lines of output."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from driftline.errors import ServiceError
from driftline.services.process import Account


def find_program(name: str, package: str) -> str:
    """The path of a program.

    Raises:
        ServiceError: it is not on PATH.
    """
    path = shutil.which(name)
    if path is None:
        raise ServiceError(f"can't find the program {name!r} on PATH (install it: {package})")
    return path


def run(
    argv: Sequence[str],
    failure: str,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    account: Account | None = None,
    timeout: float = 600,
) -> str:
    """Run a program and return what it printed.

    Parameters:
        failure: what could not be done, the start of the error.
        timeout: in seconds.

    Raises:
        ServiceError: it failed or took too long; the message ends with the last lines it printed.
    """
    try:
        completed = subprocess.run(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceError(f"{failure}: no answer within {timeout:.0f} s") from error
    except OSError as error:
        raise ServiceError(f"{failure}: {error}") from error
    if completed.returncode != 0:
        raise ServiceError(f"{failure}: {last_lines(completed.stdout)}")
    return completed.stdout


def last_lines(text: str, count: int = 8) -> str:
    """The end of a program's output, indented below the line that quotes it."""
    lines = [line for line in text.splitlines() if line.strip()][-count:]
    return "".join(f"\n    {line}" for line in lines) or "it printed nothing"
