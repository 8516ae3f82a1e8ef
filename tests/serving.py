"""A real model server for tests: kserve's, in an environment of its own."""

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from driftline.services.cache import cache_folder, populate

FILES = Path(__file__).parent / "kserve"
PATIENCE = 120.0  # seconds to start


def environment() -> Path:
    """The Python of kserve's environment, made once in driftline's cache folder."""
    lock = FILES / "requirements.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    uv = Path(sys.executable).with_name("uv")
    program = str(uv) if uv.exists() else str(shutil.which("uv"))

    def build(folder: Path) -> None:
        python = folder / "bin" / "python"
        subprocess.run(
            [program, "venv", "-q", "--clear", "--python", sys.executable, str(folder)], check=True
        )
        install = [program, "pip", "install", "-q", "--require-hashes", "--python", str(python)]
        subprocess.run([*install, "-r", str(lock)], check=True)

    folder = populate(cache_folder() / f"kserve-{digest}", build, megabytes=600, say=print)
    return folder / "bin" / "python"


@contextlib.contextmanager
def running(log: Path) -> Iterator[str]:
    """Start the server on a free port of loopback; gives its address and ends it after."""
    python = environment()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as out:
        # of the child's own environment alone: our PYTHONPATH is not for its packages
        environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        process = subprocess.Popen(
            [python, FILES / "server.py", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**environ, "DO_NOT_TRACK": "true"},
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, f"{url}/v1/models/conformance", log)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError), direct.open(url, timeout=5) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"kserve did not start: {log.read_text()[-3000:]}")
