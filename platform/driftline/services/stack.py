"""The local stack: starts and stops its services, reports their state and addresses."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from driftline.errors import ServiceError
from driftline.private_files import private_folder
from driftline.services import ports
from driftline.services.cache import Say
from driftline.services.files import file_lock, read_json, write_json
from driftline.services.kafka import Kafka
from driftline.services.mlflow import MLflow
from driftline.services.process import ProcessId, spawn, stop
from driftline.services.run import last_lines
from driftline.services.service import Place, Service
from driftline.services.timescaledb import TimescaleDB

# In the order of starting: the slowest first, so that they start while the next is prepared.
SERVICES: dict[str, Service] = {
    service.name: service for service in (MLflow(), Kafka(), TimescaleDB())
}
_LOG_BYTES = 20_000_000
_GRACE = 30.0


@dataclass(frozen=True)
class ServiceStatus:
    """The state of a service; `detail` is why it is not ready."""

    name: str
    state: Literal["running", "not responding", "stopped"]
    address: str
    version: str
    pid: int | None
    ready: bool
    detail: str


class Stack:
    """The services below one state folder; they outlive the process that started them.

    Parameters:
        state_dir: folder for data, logs, secrets and process IDs; created if missing.
        services: the services by name, the slowest first.

    Example:
        >>> from pathlib import Path
        >>> [status.state for status in Stack(Path("/nonexistent")).status()]
        ['stopped', 'stopped', 'stopped']
    """

    def __init__(self, state_dir: Path, services: Mapping[str, Service] = SERVICES) -> None:
        self.folder = state_dir.absolute()
        self.services = services

    def up(
        self,
        services: Collection[str] | None = None,
        progress: Callable[[str, str], None] = lambda _name, _text: None,
    ) -> None:
        """Start services that are not running, and wait until each answers a real request.

        Services that this call started are stopped again if it fails or is interrupted.

        Parameters:
            services: which to start; default: all. The others run elsewhere or are not needed.
            progress: called with the name of a service and a message.

        Raises:
            ServiceError: a service cannot be fetched, set up or started; with its last log lines.
        """
        chosen = self._chosen(services)
        with self._lock(lambda text: progress("stack", text)):
            started: list[Service] = []
            try:
                self._bring_up(chosen, started, progress)
                self._write_addresses()
            except BaseException:
                for service in started:
                    self._stop(service)
                raise

    def down(self, services: Collection[str] | None = None) -> list[str]:
        """Stop services by their own process id; returns the names of those that ran."""
        chosen = self._chosen(services)
        if not self.folder.is_dir():
            return []
        with self._lock(lambda _: None):
            return [service.name for service in reversed(chosen) if self._stop(service)]

    def status(self) -> list[ServiceStatus]:
        """Each service's state, asked with a real request."""
        return [self._status(service) for service in self.services.values()]

    def logs(self, service: str, lines: int = 50) -> str:
        """The last lines of a service's log.

        Raises:
            ServiceError: there is no such service, or it never ran.
        """
        self._chosen([service])
        path = self._log(service)
        if not path.exists():
            raise ServiceError(f"no log of {service!r}: it never ran below {str(self.folder)!r}")
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])

    def _chosen(self, names: Collection[str] | None) -> list[Service]:
        for name in names or ():
            if name not in self.services:
                existing = ", ".join(self.services)
                raise ServiceError(f"no service {name!r} in the local stack: give {existing}")
        return [
            service for name, service in self.services.items() if names is None or name in names
        ]

    @contextmanager
    def _lock(self, on_wait: Say) -> Iterator[None]:
        private_folder(self.folder)
        with file_lock(self.folder / "lock", on_wait=on_wait):
            yield

    def _bring_up(
        self, chosen: list[Service], started: list[Service], progress: Callable[[str, str], None]
    ) -> None:
        """Start all that do not run, then wait for each; `started` grows as it happens."""

        def start(service: Service) -> None:
            started.append(service)
            self._start(service, _saying(progress, service.name))

        for service in chosen:
            if not self._alive(service):
                start(service)
        for service in chosen:
            ready = self._ready(service, _saying(progress, service.name))
            if not ready and service not in started:  # it was stopping when we checked
                start(service)
                ready = self._ready(service, _saying(progress, service.name))
            if not ready:
                raise self._failure(service, "ended immediately")

    def _start(self, service: Service, say: Say) -> None:
        assigned = ports.assign(self._ports(), service.port_names, say)
        private_folder(self.folder / "run")
        private_folder(self.folder / "logs")
        write_json(self.folder / "ports.json", assigned)
        place = self._place(service)
        service.prepare(place, say)
        say("starting")
        log = self._log(service.name)
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        process = spawn(service.command(place), log)
        process.save(self._record(service))

    def _ready(self, service: Service, say: Say) -> bool:
        """Wait until a service answers; False when its process has ended."""
        place = self._place(service)
        begin = time.monotonic()
        while True:
            alive = self._alive(service)
            try:
                version = service.ping(place)
                break
            except Exception as error:  # not ready has as many forms as there are clients
                if not alive:
                    return False
                if time.monotonic() - begin > service.start_seconds:
                    problem = f"did not answer within {service.start_seconds:.0f} s ({error})"
                    raise self._failure(service, problem) from error
            time.sleep(0.1)
        service.settle(place)
        say(f"ready: {version}")
        return True

    def _failure(self, service: Service, problem: str) -> ServiceError:
        log = self._log(service.name)
        text = log.read_text(errors="replace") if log.exists() else ""
        return ServiceError(
            f"can't start {service.name!r}: it {problem}; its log {str(log)!r} ends with:"
            f"{last_lines(text, 15)}"
        )

    def _stop(self, service: Service) -> bool:
        process = ProcessId.load(self._record(service))
        if process is None:
            return False
        ran = process.alive()
        stop(process, service.stop_signal, _GRACE)
        self._record(service).unlink()
        return ran

    def _status(self, service: Service) -> ServiceStatus:
        process = ProcessId.load(self._record(service))
        alive = process is not None and process.alive()
        port = self._ports().get(service.port_names[0])
        address = f"{ports.LOOPBACK}:{port}" if port else ""
        pid = process.pid if process and alive else None
        if not alive:
            detail = "its process has ended (`driftline up` starts it again)" if process else ""
            return ServiceStatus(service.name, "stopped", address, "", None, False, detail)
        try:
            version = service.ping(self._place(service))
        except Exception as error:  # the client's error is the detail
            text = str(error).strip()
            return ServiceStatus(service.name, "not responding", address, "", pid, False, text)
        return ServiceStatus(service.name, "running", address, version, pid, True, "")

    def _alive(self, service: Service) -> bool:
        process = ProcessId.load(self._record(service))
        return process is not None and process.alive()

    def _write_addresses(self) -> None:
        """Write `stack.json`: the addresses of all services ever started here, for `config.py`."""
        assigned = self._ports()
        content: dict[str, Any] = {
            service.section: service.address(self._place(service))
            for service in self.services.values()
            if service.port_names[0] in assigned
        }
        write_json(self.folder / "stack.json", content)

    def _ports(self) -> dict[str, int]:
        content: dict[str, int] = read_json(self.folder / "ports.json", {})
        return content

    def _place(self, service: Service) -> Place:
        return Place(self.folder / service.name, self.folder / "secrets", self._ports())

    def _record(self, service: Service) -> Path:
        return self.folder / "run" / f"{service.name}.json"

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"


def _saying(progress: Callable[[str, str], None], name: str) -> Say:
    return lambda text: progress(name, text)
