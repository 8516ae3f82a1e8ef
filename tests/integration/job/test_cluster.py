"""`driftline run --cluster` on a standalone Flink cluster of Flink's own scripts, closed as
docs/deployment.md says.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyflink
import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates
from typer.testing import CliRunner

from driftline.audit import audit
from driftline.cli.app import app
from driftline.config import load
from driftline.errors import ServiceError
from driftline.services import ports
from driftline.streaming.flink.cluster import submit
from tests import attacks
from tests.integration.job import feed, flink_rest
from tests.integration.job.conftest import World
from tests.integration.job.running import progress, rows, wait_for

EVENTS = 5_000
WINDOWS = {
    "query": """SELECT *, COUNT(*) OVER (PARTITION BY country ORDER BY event_time
                    RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS n FROM events""",
    "columns": {"n": "int"},
    "out_of_order": "1 s",
}
GUIDE = Path(__file__).parents[3] / "docs" / "deployment.md"
STORE_PASSWORD = "of-the-key-store"
PLANTED = "planted-in-the-environment-of-the-cluster"


@dataclass(frozen=True)
class Cluster:
    """A job manager and a task manager.

    Attributes:
        address: host:port of its REST API.
        client: the settings of docs/deployment.md with which a client reaches it.
        folder: where its configuration and logs are.
    """

    address: str
    client: dict[str, Any]
    folder: Path

    def ask(self, path: str, method: str = "GET") -> Any:
        """An answer of the REST API, to somebody with the key; None before it answers."""
        port = int(self.address.rpartition(":")[2])
        return flink_rest.ask(port, self.folder / "flink.pem", path, method)

    def slots(self) -> object:
        """How many task slots are free."""
        return (self.ask("/overview") or {}).get("slots-available")

    def jobs(self) -> list[str]:
        """The ids of jobs that run."""
        jobs = (self.ask("/jobs") or {}).get("jobs", [])
        return [job["id"] for job in jobs if job["status"] in ("RUNNING", "RESTARTING", "CREATED")]

    def logs(self) -> str:
        """The end of all logs."""
        return "\n".join(path.read_text()[-2_000:] for path in self.folder.glob("log/*.log"))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A running cluster, closed as the guide says."""
    monkeypatch.setenv("FLINK_STORE_PASSWORD", STORE_PASSWORD)
    home, conf = Path(pyflink.__file__).parent, tmp_path / "conf"
    shutil.copytree(home / "conf", conf)
    (tmp_path / "log").mkdir()
    port = ports.choose()
    cluster = Cluster(f"127.0.0.1:{port}", _follow_the_guide(tmp_path), tmp_path)
    _configure(conf, port, tmp_path)
    environment = {
        **os.environ,
        "FLINK_CONF_DIR": str(conf),
        "FLINK_LOG_DIR": str(tmp_path / "log"),
        "FLINK_PID_DIR": str(tmp_path / "pid"),
        "DRIFTLINE_PLANTED": PLANTED,
    }

    def call(script: str, action: str) -> None:
        command = [str(home / "bin" / script), action]
        subprocess.run(command, env=environment, check=True, capture_output=True)

    try:
        call("jobmanager.sh", "start")
        call("taskmanager.sh", "start")
        wait_for(lambda: cluster.slots() or None, "a task slot", cluster.logs)
        yield cluster
    finally:
        for job in cluster.jobs():  # a worker would outlive its task manager
            cluster.ask(f"/jobs/{job}?mode=cancel", "PATCH")
        wait_for(lambda: not cluster.jobs() or None, "the job to end", cluster.logs)
        call("taskmanager.sh", "stop")
        call("jobmanager.sh", "stop")


def _blocks(kind: str) -> list[str]:
    """The blocks of one kind in the guide's section about closing a cluster."""
    section = GUIDE.read_text().split("### Closing the cluster")[1].split("\n## ")[0]
    return re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL)


def _follow_the_guide(folder: Path) -> dict[str, Any]:
    """Run the guide's command and put its settings into place; gives those of a client."""
    store = folder / "flink.p12"
    command = _blocks("sh")[0].replace("san=dns:flink.example.com", "san=ip:127.0.0.1")
    subprocess.run(["/bin/bash", "-ec", command], cwd=folder, check=True, capture_output=True)
    key, certificate, _ = load_key_and_certificates(store.read_bytes(), STORE_PASSWORD.encode())
    assert key is not None
    assert certificate is not None
    (folder / "flink.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    for name in ("log4j.properties", "log4j-console.properties"):
        with (folder / "conf" / name).open("a") as file:
            file.write(_blocks("properties")[0])
    client: dict[str, Any] = yaml.safe_load(_blocks("yaml")[2].replace("/etc/flink", str(folder)))
    return client


def _configure(conf: Path, port: int, folder: Path) -> None:
    text = _blocks("yaml")[1].replace("/etc/flink", str(folder))
    security = yaml.safe_load(text.replace("FLINK_STORE_PASSWORD", STORE_PASSWORD))
    settings = yaml.safe_load((conf / "config.yaml").read_text()) | {
        "jobmanager": {
            "rpc": {"address": "127.0.0.1", "port": ports.choose([port])},
            "bind-host": "127.0.0.1",
            "memory": {"process": {"size": "900m"}},
        },
        "taskmanager": {
            "host": "127.0.0.1",
            "bind-host": "127.0.0.1",
            "numberOfTaskSlots": 2,
            "memory": {"process": {"size": "1200m"}},
        },
        "rest": {"address": "127.0.0.1", "bind-address": "127.0.0.1", "port": port},
        **security,
    }
    (conf / "config.yaml").write_text(yaml.safe_dump(settings))


@pytest.mark.long
def test_a_submitted_job_logs_and_proves(world: World, cluster: Cluster) -> None:
    """The same job runs on a cluster, each record once; the cluster stays closed.

    With windows, for which the client sends our own operator along.
    """
    world.make_topics("clustered")
    path = world.write("clustered", world.section("clustered", features={"sql": WINDOWS}))
    content = yaml.safe_load(path.read_text())
    content["flink"]["properties"] = cluster.client["flink"]["properties"]
    path.write_text(yaml.safe_dump(content))
    kafka, topic = world.config.local_kafka(), world.topic("clustered", "events")
    feed.produce(kafka, topic, feed.values(0, EVENTS))
    sent = feed.sent(EVENTS)
    # an hour later in both partitions: they wait, what came before does not
    later = 3_600_000 // feed.SPACING
    closing = [feed.event(number) for number in (later, later + 1)]
    feed.produce(kafka, topic, closing)
    arguments = ["run", "clustered", "--config", str(path), "--cluster", cluster.address]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "submitted as job" in result.output
    assert "docs/deployment.md" in result.output  # what its operator has to close
    config = load(path)
    wait_for(
        lambda: progress(config, "clustered").events >= sent.messages or None,
        "all messages",
        lambda: str(progress(config, "clustered")),
    )
    report = audit(config, "clustered", deep=True)
    assert report.ok, report.to_json()
    assert (report.events.logged, report.events.pending) == (EVENTS, len(closing))
    counted = "SELECT max(n) FROM driftline.prediction_clustered WHERE NOT late"
    assert rows(config, counted) == [(1_669,)]  # a third of the events, and two that came twice
    for job in cluster.jobs():
        cluster.ask(f"/jobs/{job}?mode=cancel", "PATCH")
    wait_for(lambda: not cluster.jobs() or None, "the job to end", cluster.logs)
    _assert_closed(cluster, world, config.state)


def _assert_closed(cluster: Cluster, world: World, state: Path) -> None:
    secrets = [path.read_text().strip() for path in (world.config.state / "secrets").iterdir()]
    secrets += [PLANTED, STORE_PASSWORD]
    port = int(cluster.address.rpartition(":")[2])
    assert attacks.as_another_user(lambda: attacks.open_doors([port], [], 0)) == []
    assert attacks.files_with(secrets, cluster.folder / "log") == []
    assert attacks.files_with(secrets, state) == []
    managers = cluster.ask("/taskmanagers")["taskmanagers"]
    pages = ["/jobmanager/config", "/jobmanager/log", "/jobmanager/environment"]
    pages += [f"/taskmanagers/{manager['id']}/log" for manager in managers]
    shown = [str(cluster.ask(page)) for page in pages]
    assert all(len(page) > 100 for page in shown)
    assert [secret for secret in secrets if any(secret in page for page in shown)] == []


def test_a_cluster_that_is_not_there_is_named(world: World) -> None:
    """The error names the address, and what Java says of it."""
    path = world.write("nowhere", world.section("nowhere"))
    address = f"127.0.0.1:{ports.choose()}"
    with pytest.raises(ServiceError) as caught:
        submit(path, load(path), "nowhere", address, "none")
    assert f"the Flink cluster at '{address}' rejected the job" in str(caught.value)
    assert "Connection refused" in str(caught.value)
