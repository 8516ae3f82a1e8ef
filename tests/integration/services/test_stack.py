"""The whole local stack, on a state folder of its own: these tests kill its services."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from driftline.services.process import ProcessId
from driftline.services.stack import SERVICES, Stack


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that no other file uses."""
    stack = Stack(tmp_path_factory.mktemp("own") / "state")
    yield stack
    stack.down()


@pytest.fixture
def own(started: Stack) -> Stack:
    """That stack, up, whatever another test has done to it."""
    started.up()
    return started


def read(stack: Stack, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((stack.folder / f"{name}.json").read_text())
    return content


def pids(stack: Stack) -> dict[str, int | None]:
    return {status.name: status.pid for status in stack.status()}


def connect(stack: Stack, role: str) -> psycopg.Connection[Any]:
    postgres = read(stack, "stack")["postgres"]
    login = postgres["roles"][role]
    return psycopg.connect(
        host=postgres["host"],
        port=postgres["port"],
        dbname=postgres["database"],
        user=login["user"],
        password=Path(login["password_file"]).read_text().strip(),
        autocommit=True,
    )


def kafka_settings(stack: Stack, **more: Any) -> dict[str, Any]:
    kafka = read(stack, "stack")["kafka"]
    return {
        "bootstrap.servers": kafka["bootstrap"],
        "security.protocol": kafka["security_protocol"],
        "sasl.mechanism": kafka["sasl_mechanism"],
        "sasl.username": kafka["username"],
        "sasl.password": Path(kafka["password_file"]).read_text().strip(),
        "log_level": 0,
        **more,
    }


def mlflow_request(stack: Stack, path: str, body: dict[str, Any] | None, login: bool) -> Any:
    mlflow = read(stack, "stack")["mlflow"]
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    if login:
        secret = Path(mlflow["password_file"]).read_text().strip()
        uri, user = mlflow["tracking_uri"], mlflow["username"]
        passwords.add_password(None, uri, user, secret, is_authenticated=True)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
    data = None if body is None else json.dumps(body).encode()
    url = f"{mlflow['tracking_uri']}/api/2.0/mlflow/{path}"
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 # our own server
    with opener.open(request, timeout=20) as answer:
        return json.load(answer)


def produce(stack: Stack, topic: str, value: bytes) -> None:
    admin = AdminClient(kafka_settings(stack))
    admin.create_topics([NewTopic(topic, 1)])[topic].result()
    producer = Producer(kafka_settings(stack, **{"message.max.bytes": 16_000_000}))
    producer.produce(topic, value)
    assert producer.flush(20) == 0


def consume(stack: Stack, topic: str) -> bytes | None:
    consumer = Consumer(
        kafka_settings(stack, **{"group.id": "t", "fetch.message.max.bytes": 16_000_000})
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(20)
    consumer.close()
    return None if message is None else message.value()


def test_every_service_is_ready_and_shows_its_version(own: Stack) -> None:
    statuses = {status.name: status for status in own.status()}
    assert set(statuses) == set(SERVICES)
    for status in statuses.values():
        assert (status.state, status.ready, status.detail) == ("running", True, "")
        assert status.version[0].isdigit()
        assert status.address.startswith("127.0.0.1:")


def test_second_up_changes_nothing(own: Stack) -> None:
    before = pids(own)
    own.up()
    assert pids(own) == before


def test_two_ups_at_once_start_each_service_once(own: Stack) -> None:
    def starts() -> int:
        return own.logs("timescaledb", 1000).count("database system is ready to accept")

    before = starts()
    own.down(("timescaledb",))
    ups = [threading.Thread(target=own.up) for _ in range(2)]
    for up in ups:
        up.start()
    for up in ups:
        up.join()
    assert all(status.ready for status in own.status())
    assert starts() == before + 1


def test_roles_have_no_more_than_they_need(own: Stack) -> None:
    with connect(own, "migrate") as connection:
        row = connection.execute("SELECT extname FROM pg_extension WHERE extname = 'timescaledb'")
        assert row.fetchone() is not None
        connection.execute("CREATE SCHEMA IF NOT EXISTS made_by_migrate")
        row = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        assert row.fetchone() == (False,)
    for role in ("write", "read"):
        with connect(own, role) as connection:
            for statement in (
                "CREATE SCHEMA x",
                "CREATE TABLE x (i int)",
                "CREATE TEMP TABLE x ()",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement)


def test_wrong_passwords_are_refused(own: Stack) -> None:
    postgres = read(own, "stack")["postgres"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host=postgres["host"],
            port=postgres["port"],
            dbname="driftline",
            user="driftline_write",
            password="wrong",
        )
    client = AdminClient(kafka_settings(own, **{"sasl.password": "wrong"}))
    with pytest.raises(KafkaException):
        client.list_topics(timeout=2)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        mlflow_request(own, "experiments/search?max_results=1", None, login=False)


def test_an_event_of_five_megabytes_passes_kafka(own: Stack) -> None:
    value = os.urandom(5_000_000)
    produce(own, "large", value)
    assert consume(own, "large") == value


def test_killed_services_come_back_on_their_ports_with_their_data(own: Stack) -> None:
    with connect(own, "migrate") as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    produce(own, "kept", b"42")
    mlflow_request(own, "registered-models/create", {"name": "kept"}, login=True)
    ports, before = read(own, "ports"), pids(own)

    for pid in before.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until_stopped(own)
    assert {status.state for status in own.status()} == {"stopped"}
    assert {bool(status.detail) for status in own.status()} == {True}
    own.up()

    assert read(own, "ports") == ports
    assert not set(before.values()) & set(pids(own).values())
    with connect(own, "migrate") as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    assert consume(own, "kept") == b"42"
    model = mlflow_request(own, "registered-models/get?name=kept", None, login=True)
    assert model["registered_model"]["name"] == "kept"


def wait_until_stopped(stack: Stack) -> None:
    deadline = time.monotonic() + 120
    while any(pids(stack).values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_no_secret_shows_in_the_list_of_processes_or_the_logs(own: Stack) -> None:
    secrets = [path.read_text().strip() for path in (own.folder / "secrets").iterdir()]
    assert len(secrets) == 8
    arguments = b"".join(command_lines())
    logs = "".join(path.read_text() for path in (own.folder / "logs").iterdir())
    for secret in secrets:
        assert secret.encode() not in arguments
        assert secret not in logs


def command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            yield path.read_bytes()


def test_files_are_closed_to_other_users(own: Stack) -> None:
    assert own.folder.stat().st_mode & 0o077 == 0
    for path in (own.folder / "secrets").iterdir():
        assert path.stat().st_mode & 0o177 == 0
    assert (own.folder / "stack.json").stat().st_mode & 0o177 == 0


def test_the_stack_outlives_the_process_that_started_it(own: Stack) -> None:
    own.down(("timescaledb",))
    program = (
        "import sys, pathlib; from driftline.services.stack import Stack;"
        "Stack(pathlib.Path(sys.argv[1])).up()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run(
        [sys.executable, "-c", program, str(own.folder)], env=environment, check=True, timeout=120
    )
    assert all(status.ready for status in own.status())


def test_down_spares_a_stranger_with_a_recycled_pid(own: Stack) -> None:
    stranger = subprocess.Popen(["/bin/sleep", "60"])
    record = own.folder / "run" / "timescaledb.json"
    real = ProcessId.load(record)
    assert real is not None
    try:
        ProcessId(stranger.pid, real.started, real.boot).save(record)
        assert own.down(("timescaledb",)) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        real.save(record)
    assert own.down(("timescaledb",)) == ["timescaledb"]
