"""Messages reach a real HTTP receiver: at least once, later when it was down, and not too often."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from driftline import names
from driftline.config import Config
from driftline.config.grafana import Grafana
from driftline.config.monitors import Notify
from driftline.config.types import Secret
from driftline.monitors.alerts.deliver import deliver
from driftline.monitors.running.runner import Runner
from driftline.storage.connection import connect
from driftline.storage.monitoring import incidents, notifications, silences
from driftline.storage.monitoring.incidents import Content
from tests.integration.monitors.conftest import START, Stream
from tests.loopback import serving
from tests.rule_state import answering, rules


@dataclass
class Receiver:
    """What apprise's json:// address talks to.

    Attributes:
        got: the messages.
        status: what it answers.
        port: on loopback.
    """

    got: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    port: int = 0


@contextmanager
def receiving() -> Iterator[Receiver]:
    created = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            created.got.append(json.loads(self.rfile.read(size)))
            self.send_response(created.status)
            self.end_headers()

    with serving(Handler) as url:
        created.port = int(url.rpartition(":")[2])
        yield created


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as created:
        yield created


@pytest.fixture
def stream(make_stream: Any) -> Stream:
    created: Stream = make_stream()
    return created


def notified(config: Config, port: int, folder: Path, **more: Any) -> Config:
    secret = folder / "address"
    secret.write_text(f"json://127.0.0.1:{port}/hook-5ecret\n")
    notify = Notify(urls=(Secret(file=secret),), **more)
    return config.model_copy(update={"notify": notify})


def put(stream: Stream, family: str = "drift", key: str = "k1") -> int:
    """An incident and its message."""
    content = Content("ticket", 1, START, START, "drift of amount", [], 1.0)
    with connect(stream.config.postgres, "write") as connection:
        number = incidents.start(connection, stream.name, family, content)
        notifications.add(connection, key, number, kind="fired", title="title", body="body")
    return number


def silence(stream: Stream) -> None:
    with connect(stream.config.postgres, "write") as connection:
        silences.add(connection, stream.name, None, timedelta(hours=1), by="me", reason="sale")


def make_due(stream: Stream) -> None:
    """As if the time to try again had come."""
    stream.sql("UPDATE driftline.notification SET next_attempt_at = now()")


def send(config: Config) -> int:
    with connect(config.postgres, "write", autocommit=True) as connection:
        return deliver(config, connection)


def test_a_drifted_window_is_told(stream: Stream, receiver: Receiver, tmp_path: Path) -> None:
    config = notified(stream.config, receiver.port, tmp_path, link="https://example.com/d")
    for number in range(2):
        stream.hour(number)
    stream.hour(2, shift=40.0)
    stream.hour(3, n=200)
    runner = Runner(config)
    runner.run(once=True)
    drift = [item for item in receiver.got if "drift" in item["title"]]
    assert len(drift) == 1
    assert drift[0]["title"].startswith("[ticket] fraud: drift in amount: mean rose from ")
    for part in (
        "since 2024-03-04 02:00 UTC",
        "- amount: mean rose from ",
        "Expected false incidents for this model: at most 1 per week",
        "https://example.com/d",
        "driftline alerts show",
        "key: driftline-incident-",
    ):
        assert part in drift[0]["message"]


def test_a_receiver_that_was_down_gets_it_later(
    stream: Stream, receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = notified(stream.config, receiver.port, tmp_path)
    receiver.status = 500
    put(stream)
    assert send(config) == 0
    attempts = stream.sql("SELECT attempts, sent_at, outcome FROM driftline.notification")
    assert attempts == [(1, None, "address 1 of notify.urls did not accept the message")]
    assert send(config) == 0  # not due yet
    receiver.status = 200
    make_due(stream)
    assert send(config) == 1
    assert send(config) == 0
    keys = {item["message"].splitlines()[-1] for item in receiver.got}
    assert keys == {"key: k1"}
    assert "5ecret" not in caplog.text


KILLED = """
import os, signal, sys
from pathlib import Path
from driftline.config import Config
from driftline.storage.monitoring import notifications
from driftline.storage.connection import connect
from driftline.monitors.alerts.deliver import deliver
notifications.mark_sent = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
config = Config.model_validate_json(sys.stdin.read())
with connect(config.postgres, "write", autocommit=True) as connection:
    deliver(config, connection)
"""


def test_killed_between_sending_and_marking_it_is_sent_again(
    stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    config = notified(stream.config, receiver.port, tmp_path)
    put(stream)
    child = subprocess.run(
        [sys.executable, "-c", KILLED],
        input=config.model_dump_json(exclude={"models"}),
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert child.returncode == -signal.SIGKILL
    assert len(receiver.got) == 1
    deadline = time.monotonic() + 120  # until the server has noticed the disconnect
    while not send(config):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert [item["message"] for item in receiver.got] == ["body\nkey: k1"] * 2
    assert send(config) == 0


def test_only_so_many_an_hour(stream: Stream, receiver: Receiver, tmp_path: Path) -> None:
    config = notified(stream.config, receiver.port, tmp_path, max_per_hour=2)
    for family in ("drift", "quality", "latency"):
        put(stream, family, key=family)
    assert send(config) == 2
    assert len(receiver.got) == 2
    stream.sql("UPDATE driftline.notification SET sent_at = sent_at - interval '61 minutes'")
    assert send(config) == 1


def routed(config: Config, url: str, folder: Path) -> Config:
    """The config with a Grafana that has a route for everything."""
    token = folder / "token"
    token.write_text("t0ken")
    grafana = Grafana.model_validate(
        {
            "url": url,
            "token": {"file": token},
            "contact_points": {
                "hook": {"type": "webhook", "settings": {"url": "https://x.example"}}
            },
            "routing": {"routes": [{"contact_point": "hook"}]},
        }
    )
    return config.model_copy(update={"grafana": grafana})


def test_grafana_tells_people_until_it_stops(
    stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    """Apprise is quiet while Grafana evaluates, and speaks when it stalls or dies."""
    with answering() as grafana:
        config = routed(notified(stream.config, receiver.port, tmp_path), grafana.url, tmp_path)
        grafana.content = rules(names.GRAFANA_HEARTBEAT, timedelta(0))
        put(stream, "drift", key="alive")
        stream.sql("UPDATE driftline.notification SET created_at = now() - interval '10 minutes'")
        assert send(config) == 1
        assert receiver.got == []
        grafana.content = rules(names.GRAFANA_HEARTBEAT, timedelta(hours=1))
        put(stream, "quality", key="stalled")
        assert send(config) == 1
    put(stream, "latency", key="dead")
    assert send(config) == 1
    assert [item["message"] for item in receiver.got] == ["body\nkey: stalled", "body\nkey: dead"]
    outcomes = stream.sql("SELECT dedupe_key, outcome FROM driftline.notification ORDER BY id")
    assert outcomes == [("alive", "grafana"), ("stalled", "sent"), ("dead", "sent")]


def test_what_grafana_has_not_seen_when_it_dies_is_told(
    stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    with answering() as grafana:
        config = routed(notified(stream.config, receiver.port, tmp_path), grafana.url, tmp_path)
        grafana.content = rules(names.GRAFANA_HEARTBEAT, timedelta(seconds=5))
        number = put(stream)
        with connect(stream.config.postgres, "write") as connection:
            notifications.add(connection, "k2", number, kind="changed", title="t", body="b")
        assert send(config) == 0
        # it has seen the incident, and may still wait to group it with others
        stream.sql("UPDATE driftline.notification SET created_at = now() - interval '1 minute'")
        make_due(stream)
        assert send(config) == 0
        waiting = stream.sql("SELECT attempts, sent_at, outcome FROM driftline.notification")
        assert waiting == [(0, None, "")] * 2
        grafana.content = rules(names.GRAFANA_HEARTBEAT, timedelta(minutes=5))
        make_due(stream)
        assert send(config) == 2
    assert [item["message"] for item in receiver.got] == ["body\nkey: k1", "b\nkey: k2"]


def test_grafana_tells_what_was_silenced_after_the_silence(
    stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    with answering() as grafana:
        config = routed(notified(stream.config, receiver.port, tmp_path), grafana.url, tmp_path)
        grafana.content = rules(names.GRAFANA_HEARTBEAT, timedelta(0))
        silence(stream)
        number = put(stream)
        stream.sql("UPDATE driftline.notification SET created_at = now() - interval '10 minutes'")
        assert send(config) == 0
        stream.sql("UPDATE driftline.silence SET ends_at = now()")
        make_due(stream)
        assert send(config) == 0  # it has sent nothing since the silence ended
        with connect(stream.config.postgres, "write") as connection:
            incidents.resolve(connection, number, "ended")
        grafana.content = rules(names.GRAFANA_HEARTBEAT, timedelta(hours=1))
        make_due(stream)
        assert send(config) == 1
    assert stream.sql("SELECT outcome FROM driftline.notification") == [("silenced",)]
    assert receiver.got == []


def test_silenced_acknowledged_and_unaddressed_messages_leave_quietly(
    stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    config = notified(stream.config, receiver.port, tmp_path)
    silence(stream)
    first = put(stream)
    assert send(config) == 0
    with connect(stream.config.postgres, "write") as connection:
        incidents.resolve(connection, first, "ended")
        notifications.add(connection, "k1 resolved", first, kind="resolved", title="", body="")
        assert send(config) == 0
        assert silences.end(connection, stream.name, None) == 1
    make_due(stream)
    assert send(config) == 2
    number = put(stream, "quality", key="k2")
    with connect(stream.config.postgres, "write") as connection:
        assert incidents.acknowledge(connection, number, "me", "known")
        notifications.add(connection, "k3", number, kind="changed", title="t", body="b")
    assert send(stream.config) == 2
    assert receiver.got == []
    outcomes = stream.sql("SELECT dedupe_key, outcome FROM driftline.notification ORDER BY 1")
    assert outcomes == [
        ("k1", "silenced"),
        ("k1 resolved", "nobody was notified"),
        ("k2", "no addresses"),
        ("k3", "acknowledged"),
    ]


def test_what_goes_on_is_told_when_the_silence_ends(
    stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    config = notified(stream.config, receiver.port, tmp_path)
    silence(stream)
    put(stream)
    assert send(config) == 0
    stream.sql("UPDATE driftline.silence SET ends_at = now()")
    make_due(stream)
    assert send(config) == 1
    assert [item["message"] for item in receiver.got] == ["body\nkey: k1"]


def test_the_end_of_an_acknowledged_incident_is_told_after_a_silence(
    stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    config = notified(stream.config, receiver.port, tmp_path)
    number = put(stream)
    assert send(config) == 1
    silence(stream)
    with connect(stream.config.postgres, "write") as connection:
        assert incidents.acknowledge(connection, number, "me", "known")
        incidents.resolve(connection, number, "ended")
        notifications.add(connection, "k2", number, kind="resolved", title="t", body="b")
    assert send(config) == 0
    stream.sql("UPDATE driftline.silence SET ends_at = now()")
    make_due(stream)
    assert send(config) == 1
    assert [item["message"] for item in receiver.got] == ["body\nkey: k1", "b\nkey: k2"]


def test_the_end_of_what_was_acknowledged_within_a_silence_is_told_once(
    stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    config = notified(stream.config, receiver.port, tmp_path)
    silence(stream)
    number = put(stream)
    assert send(config) == 0
    with connect(stream.config.postgres, "write") as connection:
        assert incidents.acknowledge(connection, number, "me", "known")
        notifications.add(connection, "k2", number, kind="changed", title="t", body="b")
    stream.sql("UPDATE driftline.silence SET ends_at = now()")
    make_due(stream)
    assert send(config) == 2
    assert receiver.got == []
    with connect(stream.config.postgres, "write") as connection:
        incidents.resolve(connection, number, "ended")
        notifications.add(connection, "k3", number, kind="resolved", title="t", body="b")
    assert send(config) == 1
    assert send(config) == 0
    assert [item["message"] for item in receiver.got] == ["b\nkey: k3"]
    outcomes = stream.sql("SELECT outcome FROM driftline.notification ORDER BY id")
    assert outcomes == [("acknowledged",), ("acknowledged",), ("sent",)]


def test_an_address_that_fails_repeats_nothing_to_the_others(
    stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    with receiving() as revoked:
        revoked.status = 403
        config = notified(stream.config, receiver.port, tmp_path)
        for name, url in (
            ("revoked", f"json://127.0.0.1:{revoked.port}/"),
            ("unknown", "nosuch://here"),
        ):
            (tmp_path / name).write_text(url)
        bad = (Secret(file=tmp_path / "revoked"), Secret(file=tmp_path / "unknown"))
        more = (Secret(file=tmp_path / "absent"), *bad, *config.notify.urls)
        config = config.model_copy(update={"notify": Notify(urls=more)})
        number = put(stream)
        for _ in range(3):
            assert send(config) == 0
            make_due(stream)
        assert (len(receiver.got), len(revoked.got)) == (1, 3)
        ((outcome,),) = stream.sql("SELECT outcome FROM driftline.notification")
        assert "absent" in outcome
        assert "address 2 of notify.urls did not accept the message" in outcome
        assert "address 3 of notify.urls is not a valid apprise URL" in outcome
        # what is newer does not wait for it, and takes its place
        with connect(stream.config.postgres, "write") as connection:
            notifications.add(connection, "k2", number, kind="resolved", title="t", body="b")
        assert send(config) == 1
        assert [item["message"] for item in receiver.got] == ["body\nkey: k1", "b\nkey: k2"]
        make_due(stream)
        stream.sql("UPDATE driftline.notification SET created_at = now() - interval '25 hours'")
        assert send(config) == 1
    outcomes = [item for (item,) in stream.sql("SELECT outcome FROM driftline.notification")]
    assert outcomes[0] == "superseded"
    assert outcomes[1].startswith("gave up: address 1")


def test_the_end_is_never_told_before_the_beginning(
    stream: Stream, receiver: Receiver, tmp_path: Path
) -> None:
    config = notified(stream.config, receiver.port, tmp_path)
    receiver.status = 500
    number = put(stream)
    assert send(config) == 0
    receiver.status, receiver.got[:] = 200, []
    with connect(stream.config.postgres, "write") as connection:
        notifications.add(connection, "k2", number, kind="resolved", title="t", body="b")
    assert send(config) == 0
    make_due(stream)
    assert send(config) == 2
    assert [item["message"] for item in receiver.got] == ["body\nkey: k1", "b\nkey: k2"]
