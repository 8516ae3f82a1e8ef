"""The stack's own logic, on a service that starts in a moment: Python's web server."""

import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from driftline.errors import ServiceError
from driftline.services import ports
from driftline.services.cache import Say
from driftline.services.ports import LOOPBACK
from driftline.services.process import Command, ProcessId
from driftline.services.service import Place
from driftline.services.stack import SERVICES, Stack


class Web:
    """A service that serves its folder; `argv` may make it fail."""

    stop_signal: signal.Signals = signal.SIGTERM
    start_seconds = 20.0

    def __init__(self, name: str, argv: list[str] | None = None) -> None:
        self.name = self.section = name
        self.port_names: tuple[str, ...] = (name,)
        self.argv = argv
        self.failing: BaseException | None = None

    def prepare(self, place: Place, say: Say) -> None:
        place.folder.mkdir(exist_ok=True)
        say("prepared")

    def command(self, place: Place) -> Command:
        port = str(place.ports[self.name])
        serve = [sys.executable, "-m", "http.server", "--bind", LOOPBACK, port]
        return Command(self.argv or serve, place.folder)

    def ping(self, place: Place) -> str:
        if self.failing:
            raise self.failing
        with urllib.request.urlopen(f"http://{LOOPBACK}:{place.ports[self.name]}", timeout=5) as a:
            return str(a.status)

    def settle(self, place: Place) -> None:
        pass

    def address(self, place: Place) -> dict[str, Any]:
        return {"port": place.ports[self.name]}


DIES = [sys.executable, "-c", "print('no such option'); raise SystemExit(1)"]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path / "state", {name: Web(name) for name in ("one", "two")})
    yield made
    made.down()


def alive(stack: Stack) -> dict[str, bool]:
    return {status.name: status.ready for status in stack.status()}


def addresses(stack: Stack) -> Any:
    return json.loads((stack.folder / "stack.json").read_text())


def test_the_real_services_agree_with_the_names_that_config_reads() -> None:
    assert {name: service.section for name, service in SERVICES.items()} == {
        "timescaledb": "postgres",
        "kafka": "kafka",
        "mlflow": "mlflow",
    }


def test_real_addresses_hold_absolute_paths_and_no_secret(tmp_path: Path) -> None:
    ports = {"timescaledb": 1, "kafka": 2, "kafka_controller": 3, "mlflow": 4}
    place = Place(tmp_path, tmp_path / "secrets", ports)
    content = {service.section: service.address(place) for service in SERVICES.values()}
    assert content["postgres"]["roles"]["write"] == {
        "user": "driftline_write",
        "password_file": str(tmp_path / "secrets" / "postgres_write"),
    }
    assert content["kafka"]["bootstrap"] == "127.0.0.1:2"
    assert content["kafka"]["sasl_mechanism"] == "SCRAM-SHA-256"
    assert content["mlflow"]["tracking_uri"] == "http://127.0.0.1:4"
    assert not (tmp_path / "secrets").exists()


def test_up_reports_and_writes_addresses(stack: Stack) -> None:
    said: list[tuple[str, str]] = []
    stack.up(progress=lambda name, text: said.append((name, text)))
    assert said == [
        *(("one", "prepared"), ("one", "starting")),
        *(("two", "prepared"), ("two", "starting")),
        *(("one", "ready: 200"), ("two", "ready: 200")),
    ]
    ports = {status.name: int(status.address.split(":")[1]) for status in stack.status()}
    assert addresses(stack) == {name: {"port": port} for name, port in ports.items()}
    assert stack.down() == ["two", "one"]
    assert stack.down() == []
    assert alive(stack) == {"one": False, "two": False}


def test_only_the_chosen_services_start(stack: Stack) -> None:
    stack.up(["two"])
    assert alive(stack) == {"one": False, "two": True}
    assert set(addresses(stack)) == {"two"}


def test_an_unknown_service_is_named(stack: Stack) -> None:
    for call in (lambda: stack.up(["three"]), lambda: stack.logs("three")):
        with pytest.raises(ServiceError, match=r"no service 'three' .*: give one, two"):
            call()


def test_the_log_of_what_never_ran_is_no_traceback(stack: Stack) -> None:
    with pytest.raises(ServiceError, match=r"no log of 'one': it never ran below"):
        stack.logs("one")


def test_a_service_that_dies_shows_its_log_and_takes_down_what_was_started(
    tmp_path: Path,
) -> None:
    stack = Stack(tmp_path / "state", {"one": Web("one"), "bad": Web("bad", DIES)})
    with pytest.raises(ServiceError, match=r"can't start 'bad': it ended immediately; its log '.*"):
        stack.up()
    assert "no such option" in stack.logs("bad")
    assert alive(stack) == {"one": False, "bad": False}


def test_a_failure_spares_what_ran_before(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "state", {"one": Web("one"), "bad": Web("bad", DIES)})
    stack.up(["one"])
    with pytest.raises(ServiceError, match=r"(?s)ends with:\n    no such option"):
        stack.up()
    assert alive(stack) == {"one": True, "bad": False}
    stack.down()


def test_an_interrupt_stops_what_this_call_started(tmp_path: Path) -> None:
    first, second = Web("one"), Web("two")
    stack = Stack(tmp_path / "state", {"one": first, "two": second})
    stack.up(["one"])
    second.failing = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        stack.up()
    assert alive(stack) == {"one": True, "two": False}
    stack.down()


def test_a_service_that_never_answers_is_given_up(tmp_path: Path) -> None:
    mute = Web("mute", ["/bin/sleep", "60"])
    mute.start_seconds = 0.5
    stack = Stack(tmp_path / "state", {"mute": mute})
    with pytest.raises(ServiceError, match=r"can't start 'mute': it did not answer within 0 s \("):
        stack.up()
    assert alive(stack) == {"mute": False}


def test_what_hangs_is_running_but_not_ready(tmp_path: Path) -> None:
    web = Web("one")
    stack = Stack(tmp_path / "state", {"one": web})
    stack.up()
    web.failing = TimeoutError("no answer")
    (status,) = stack.status()
    assert (status.state, status.ready, status.detail) == ("not responding", False, "no answer")
    assert status.pid is not None
    stack.down()


def test_a_stale_record_is_ignored(stack: Stack) -> None:
    stack.up(["one"])
    record = stack.folder / "run" / "one.json"
    real = ProcessId.load(record)
    assert real is not None
    os.kill(real.pid, signal.SIGKILL)
    ProcessId(os.getpid(), 1, real.boot).save(record)  # our own pid, once another's
    stack.up()
    assert alive(stack)["one"]
    assert stack.down() == ["two", "one"]


def test_a_log_that_grew_large_is_put_aside(stack: Stack) -> None:
    (stack.folder / "logs").mkdir(parents=True)
    with (stack.folder / "logs" / "one.log").open("wb") as log:
        log.truncate(30_000_000)
    stack.up(["one"])
    assert (stack.folder / "logs" / "one.log").stat().st_size < 10_000
    assert (stack.folder / "logs" / "one.log.1").stat().st_size == 30_000_000


def test_the_port_of_a_stopped_service_changes_only_when_taken(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "_PATIENCE", 0.5)  # that a killed server's port is waited for
    stack.up(["one"])
    before = addresses(stack)
    stack.down()
    stack.up(["one"])
    assert addresses(stack) == before
    stack.down()
    said: list[str] = []
    with socket.create_server((LOOPBACK, before["one"]["port"])):
        stack.up(["one"], progress=lambda _, text: said.append(text))
    assert addresses(stack) != before
    assert "taken by another program" in said[0]
