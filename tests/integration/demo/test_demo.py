"""`driftline demo`, as the README tells people to run it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import pytest

from driftline.config import load
from driftline.config.monitors import Family, Severity
from driftline.dashboards.definitions.generate import generate
from driftline.dashboards.preview.extent import extent
from driftline.dashboards.preview.panel_data import DashboardData, DataRequest
from driftline.dashboards.preview.reader import Reader
from driftline.dashboards.sync.alert_rules import HEARTBEAT, rules
from driftline.services.stack import Stack
from driftline.storage.connection import connect
from tests.grafana.evaluate import evaluate, run
from tests.grafana.store import Store
from tests.integration.dashboards.asked import queries

MODEL = "flights-late"
COMMAND = [str(Path(sys.executable).with_name("driftline")), "demo"]
FLIGHTS = 4_000

pytestmark = pytest.mark.timeout(2_000)  # a demo takes long on a machine that does other things


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty state folder."""
    return tmp_path_factory.mktemp("demo") / "state"


def _running(state: Path) -> list[str]:
    return [service.name for service in Stack(state).status() if service.state != "stopped"]


@dataclass(frozen=True)
class Shown:
    """What a demo from nothing has shown, and the config that it wrote."""

    output: str
    config: Path


@pytest.fixture(scope="module")
def shown(state: Path) -> Iterator[Shown]:
    """A demo that leaves the services running; they are stopped at the end."""
    try:
        output = _until_the_preview(state, "--keep-running")
        yield Shown(output, state / "demo" / "driftline.yaml")
    finally:
        Stack(state).down()


@pytest.fixture
def kept(state: Path, shown: Shown) -> Path:
    """The config of the demo, whose services run."""
    Stack(state).up()
    return shown.config


def _until_the_preview(state: Path, *options: str) -> str:
    """What a demo shows that ends in the preview, which Ctrl-C ends."""
    arguments = [*COMMAND, "--state", str(state), "--events", str(FLIGHTS), *options]
    demo = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    output = ""
    for line in demo.stdout:
        output += line
        if "Ctrl-C to stop" in line:
            break
    return output + _ended(demo, signal.SIGINT)


def _ended(demo: subprocess.Popen[str], number: signal.Signals) -> str:
    """What it says from a signal to its end, which is near."""
    demo.send_signal(number)
    try:
        return demo.communicate(timeout=300)[0]
    except subprocess.TimeoutExpired:
        demo.kill()
        raise


def test_the_demo_ends_with_a_proof(shown: Shown) -> None:
    """Every flight is logged once, the better version takes over, the broken one is refused."""
    assert f"logged {FLIGHTS:,} = profiled {FLIGHTS:,} (every cell)" in shown.output, shown.output
    assert f"= published {FLIGHTS:,}  consistent" in shown.output
    said = " ".join(shown.output.split())
    assert "versions 2 and 3 are registered and score as shadows" in said
    assert "version 3 is refused: " in said, said
    assert "version 2 is promoted: " in said, said
    taken_over = re.search(r"version 2 serves; it took over within ([0-9,]+) events", said)
    assert taken_over is not None, said
    assert int(taken_over[1].replace(",", "")) > 0, "the stream stood still"
    served = [
        int(n.replace(",", ""))
        for n in re.findall(r"served by version [12] [^0-9]*([0-9,]+)", said)
    ]
    assert len(served) == 2
    assert sum(served) == FLIGHTS
    assert "served by version 3" not in said


@pytest.mark.long
def test_a_second_run_reuses_the_model_and_can_be_interrupted(
    shown: Shown, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What was trained is kept; Ctrl-C ends the job and the services."""
    state = tmp_path_factory.mktemp("second") / "state"  # it would forget the first one's events
    shutil.copytree(shown.config.parent, state / "demo")
    arguments = [*COMMAND, "--state", str(state), "--rate", "50"]
    demo = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if "0 of " in line:  # the stream has begun
            break
    time.sleep(2)
    said += _ended(demo, signal.SIGINT)
    assert demo.returncode == 130, said
    assert "version 1 is champion" in said
    assert "trained" not in said
    assert _running(state) == []
    assert _jobs_of(state) == []


@pytest.mark.long
def test_while_it_makes_features_it_can_be_interrupted(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What runs beside is ended and not waited for."""
    state = tmp_path_factory.mktemp("interrupted") / "state"
    arguments = [*COMMAND, "--state", str(state), "--events", str(FLIGHTS)]
    demo = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    said = ""
    for line in demo.stdout:
        said += line
        if "timescaledb" in line and " at " in line:  # all services are there
            break
    said += _ended(demo, signal.SIGTERM)
    assert demo.returncode == 128 + signal.SIGTERM, said
    assert _running(state) == []
    assert _jobs_of(state) == []
    assert list((state / "demo").glob("features-*.parquet")) == []


def test_its_services_and_its_config_can_be_used(state: Path, kept: Path) -> None:
    """`--keep-running`; the config that the demo wrote works with the other commands."""
    assert sorted(_running(state)) == ["kafka", "mlflow", "timescaledb"]
    audit = [COMMAND[0], "audit", MODEL, "--json", "--config"]
    proof = subprocess.run([*audit, str(kept)], capture_output=True, text=True, check=True)
    assert json.loads(proof.stdout)["ok"]


# What may be empty, while the store has nothing that it could show: 4,000 flights are four days.
_ALARM = "window_end = (SELECT max(window_end) FROM driftline.judged_window) AND status = 'alarm'"
UNLESS = {
    f"driftline.verdict WHERE family = 'drift' AND {_ALARM}": {"Largest drift by column/A"},
    "driftline.incident": {"Incidents/A", "annotation/Incidents"},
    "driftline.incident WHERE resolved_at IS NULL": {"Open incidents/A"},
    "driftline.report": {"Reports/A"},
    "driftline.judged_window WHERE revision > 0": {"annotation/Backfills"},
    "driftline.profile WHERE role = 'served' AND version > 1": {"annotation/Versions"},
    # no segment is judged alone: three months of reference support no more looks
    "driftline.window_stat WHERE segment <> ''": {
        "Mean score by segment/A",
        "Segments in the last window/A",
    },
    "driftline.verdict WHERE family = 'performance'": {
        "Performance/A",
        "Performance by monitor/A",
        "Label coverage/A",
        "Realised and estimated: AUC/B",
        "Realised and estimated/B",
    },
    "driftline.verdict WHERE monitor LIKE 'realised%' AND value IS NOT NULL": {
        "Realised and estimated/A",
    },
}


def test_every_query_of_every_dashboard_gives_data(kept: Path) -> None:
    """Over all data, as a reader sees it who opens the page; event time or real time."""
    config = load(kept)
    reader = Reader(config.local_postgres())
    asks = {f"SELECT 1 FROM {what} LIMIT 1": some for what, some in UNLESS.items()}
    allowed = {one for sql, some in asks.items() if not reader.run(sql).rows for one in some}
    silent: set[str] = set()
    for board in generate(config):
        span = extent(reader, board["uid"], MODEL)
        assert span is not None
        request = DataRequest(since=span[0], until=span[1])
        data = DashboardData(board, reader)
        chosen = {one["name"]: one["value"] for one in data.variables(request)}
        for asked in queries(board):
            rows = reader.run(asked.over(request.start, request.end, chosen)).rows
            if not any(value is not None for row in rows for value in row):
                silent.add(asked.where.partition("/")[2])
    reader.close()
    assert silent - allowed == set()


def test_every_alert_rule_gives_a_0_or_1_for_each_model(kept: Path) -> None:
    """And the heartbeat one; what fires has an incident to tell of."""
    config = load(kept)
    store = Store(connect=partial(connect, config.local_postgres(), "read", autocommit=True))
    store.data_sources = {config.grafana.data_source.uid: {}}
    store.rules = rules(config)
    statements = {rule["uid"]: rule["data"][0]["model"]["rawSql"] for rule in store.rules}
    assert len(statements) == 1 + len(get_args(Family)) * len(get_args(Severity))
    for uid, sql in statements.items():
        _, (row,) = run(store, sql)
        assert row[-1] in (0, 1)
        assert uid == HEARTBEAT or row[0] == MODEL
    for one in evaluate(store):
        assert one.state in ("Normal", "Alerting")
        assert one.state == "Normal" or one.rule == HEARTBEAT or one.annotations["columns"]


def _jobs_of(state: Path) -> list[int]:
    """Processes that still work for a state folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(state).encode() in command and b"driftline" in command:
                found.append(int(entry.name))
    return found
