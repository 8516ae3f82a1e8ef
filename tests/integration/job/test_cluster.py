"""`driftline run --cluster` on a standalone Flink cluster of Flink's own scripts."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from driftline.cli import app
from driftline.config import load
from driftline.errors import ServiceError
from driftline.services import ports
from driftline.storage.audit import audit
from driftline.streaming.cluster import flink_home, submit
from tests.integration.job import feed
from tests.integration.job.conftest import World
from tests.integration.job.running import progress, wait_for

EVENTS = 5_000


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A job manager and a task manager; its REST address."""
    home, conf = flink_home(), tmp_path / "conf"
    shutil.copytree(home / "conf", conf)
    rest = ports.choose()
    rpc = ports.choose([rest])
    (tmp_path / "log").mkdir()
    settings = yaml.safe_load((conf / "config.yaml").read_text()) | {
        "jobmanager": {
            "rpc": {"address": "127.0.0.1", "port": rpc},
            "memory": {"process": {"size": "900m"}},
        },
        "taskmanager": {
            "host": "127.0.0.1",
            "numberOfTaskSlots": 2,
            "memory": {"process": {"size": "1200m"}},
        },
        "rest": {"address": "127.0.0.1", "port": rest},
    }
    (conf / "config.yaml").write_text(yaml.safe_dump(settings))
    environment = {
        **os.environ,
        "FLINK_CONF_DIR": str(conf),
        "FLINK_LOG_DIR": str(tmp_path / "log"),
        "FLINK_PID_DIR": str(tmp_path / "pid"),
    }

    def call(script: str, action: str) -> None:
        command = [str(home / "bin" / script), action]
        subprocess.run(command, env=environment, check=True, capture_output=True)

    try:
        call("jobmanager.sh", "start")
        call("taskmanager.sh", "start")
        wait_for(lambda: _slots(rest) or None, "a task slot", lambda: _logs(tmp_path))
        yield f"127.0.0.1:{rest}"
    finally:
        for job in _jobs(rest):  # a worker would outlive its task manager
            request = urllib.request.Request(
                f"http://127.0.0.1:{rest}/jobs/{job}?mode=cancel", method="PATCH"
            )
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - on loopback
        wait_for(lambda: not _jobs(rest) or None, "the job to end", lambda: _logs(tmp_path))
        call("taskmanager.sh", "stop")
        call("jobmanager.sh", "stop")


def test_a_submitted_job_logs_and_proves(world: World, cluster: str) -> None:
    """The same job runs on a cluster, each record once."""
    world.make_topics("clustered")
    path = world.write("clustered", world.section("clustered"))
    kafka, topic = world.config.local_kafka(), world.topic("clustered", "events")
    feed.produce(kafka, topic, feed.values(0, EVENTS))
    sent = feed.sent(EVENTS)
    arguments = ["run", "clustered", "--config", str(path), "--cluster", cluster]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "submitted as job" in result.output
    config = load(path)
    wait_for(
        lambda: progress(config, "clustered").events >= sent.messages or None,
        "all messages",
        lambda: str(progress(config, "clustered")),
    )
    report = audit(config, "clustered", deep=True)
    assert report.ok, report.to_json()
    assert report.events.logged == EVENTS


def test_a_cluster_that_is_not_there_is_named(world: World) -> None:
    """The error names the address."""
    path = world.write("nowhere", world.section("nowhere"))
    address = f"127.0.0.1:{ports.choose()}"
    with pytest.raises(ServiceError, match=f"Flink cluster at '{address}' did not take the job"):
        submit(path, load(path), "nowhere", address, "none")


def _get(rest: int, path: str) -> dict[str, object]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{rest}{path}", timeout=5) as answer:
            found: dict[str, object] = json.load(answer)
            return found
    except OSError:
        return {}


def _slots(rest: int) -> object:
    return _get(rest, "/overview").get("slots-available")


def _jobs(rest: int) -> list[str]:
    jobs = _get(rest, "/jobs").get("jobs", [])
    assert isinstance(jobs, list)
    return [job["id"] for job in jobs if job["status"] in ("RUNNING", "RESTARTING", "CREATED")]


def _logs(folder: Path) -> str:
    return "\n".join(path.read_text()[-2_000:] for path in folder.glob("log/*.log"))
