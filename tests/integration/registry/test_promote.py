"""Promotion and roll-back on a real registry and a real database."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import mlflow.artifacts
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driftline import names
from driftline.errors import DriftlineError, RegistryError, ServiceError
from driftline.registry.gates.canary import failed_gates
from driftline.registry.promote import locked
from driftline.registry.register import register
from driftline.services.stack import Stack
from driftline.storage.connection import connect
from driftline.storage.versions import live_evidence, promotions
from driftline.streaming.flink.check import check_ready
from tests.hostile_reader import holding
from tests.integration.job import saved_model
from tests.integration.job.running import PATIENCE
from tests.integration.registry.conftest import MODEL, Registered, features
from tests.unit.registry import odd_models, saved_models

AGREEMENT = {"min_events": 200, "tolerance": 0.1, "min_share": 0.9}


def refused(registered: Registered, *arguments: str) -> str:
    """The message of a command that ends with an error."""
    result = registered.run(*arguments)
    assert isinstance(result.exception, RegistryError), (result.output, result.exception)
    return str(result.exception)


def test_the_first_version_needs_no_champion(registered: Registered) -> None:
    assert registered.alias() == 1
    (row,) = registered.sql("SELECT version, previous, kind, decided_by FROM driftline.promotion")
    assert row == (1, None, "first", "tester")


def test_a_version_that_passes_is_promoted_and_written_down(registered: Registered) -> None:
    registered.gates(agreement=AGREEMENT, latency={"min_events": 200, "max_ratio": 1.5})
    registered.live(np.full(300, 0.5), np.full(300, 0.55), milliseconds=(2.0, 2.5))
    result = registered.run("promote", MODEL, "2")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "payments version 2 is champion; previous: version 1" in result.output
    assert "100.00% of 300 events agree with the champion within 0.1" in result.output
    assert registered.alias() == 2
    tags = registered.tags(2)
    assert tags["driftline.decision"] == "promoted"
    assert tags["driftline.gates"] == "signature passed, agreement passed, latency passed"
    run = registered.client.get_model_version(registered.name, "2").run_id
    (artifact,) = registered.client.list_artifacts(run, "driftline")
    text = mlflow.artifacts.load_text(f"runs:/{run}/{artifact.path}")
    written = json.loads(text)
    kind, verdict = registered.sql("SELECT kind, verdict FROM driftline.promotion ORDER BY id")[-1]
    assert (kind, verdict) == ("promoted", written["verdict"])
    latency = {gate["name"]: gate for gate in verdict["gates"]}["latency"]
    assert (latency["measured"], latency["limit"]) == (2.5, 3.0)
    tagged = json.loads(tags["driftline.verdict"])
    assert tagged["latency"] == {"measured": 2.5, "limit": 3.0, **latency["numbers"]}
    assert (tagged["agreement"]["measured"], tagged["agreement"]["events"]) == (1.0, 300)
    assert written["decided_by"] == "tester"


def test_a_failing_gate_says_which_number_missed_by_how_much(registered: Registered) -> None:
    registered.gates(agreement=AGREEMENT)
    candidate = np.full(200, 0.5)
    candidate[:30], candidate[30:40] = 0.9, np.nan
    registered.live(np.full(200, 0.5), candidate)
    result = registered.run("promote", MODEL, "2")
    assert result.exit_code == 1
    assert (
        "agreement: 80.00% of 200 events agree with the champion within 0.1; the minimum is 90.00%,"
        " missed by 10.00 percentage points; the candidate failed on 10 of them\n"
    ) in result.output
    assert "the champion is still version 1" in result.output
    assert registered.alias() == 1
    assert registered.tags(2)["driftline.decision"] == "refused"
    row = registered.sql("SELECT kind, reason FROM driftline.promotion ORDER BY id")[-1]
    assert row == ("refused", "gates failed: agreement")


def test_too_little_evidence_is_a_failure(registered: Registered) -> None:
    registered.gates(scores={"min_events": 1000}, performance={"metric": "mae", "min_events": 50})
    registered.live(np.zeros(412), np.zeros(412), label=np.zeros(412))
    registered.sql("DELETE FROM driftline.label WHERE kafka_offset >= 40")
    result = registered.run("promote", MODEL, "2", "--json")
    gates = {gate["name"]: gate for gate in json.loads(result.stdout)["verdict"]["gates"]}
    assert gates["scores"]["sentence"].startswith("412 of the required 1,000 events")
    assert gates["performance"]["sentence"].startswith("40 of the required 50 events with labels")


def test_force_needs_a_reason_and_is_recorded(registered: Registered) -> None:
    registered.gates(agreement=AGREEMENT)
    assert "add --reason" in refused(registered, "promote", MODEL, "2", "--force")
    decision = registered.json("promote", MODEL, "2", "--force", "--reason", "old one is broken")
    assert (decision["kind"], decision["reason"]) == ("forced", "old one is broken")
    assert registered.alias() == 2
    assert registered.tags(2)["driftline.reason"] == "old one is broken"
    message = refused(registered, "promote", MODEL, "2")
    assert "is already champion, forced by tester at" in message


def test_a_decision_is_written_to_no_place_that_others_name(
    registered: Registered, tmp_path: Path
) -> None:
    client, place = registered.client, tmp_path / "home"
    place.mkdir()
    experiment = client.create_experiment(f"{registered.name}-x", artifact_location=place.as_uri())
    run = client.create_run(experiment).info.run_id
    two = client.get_model_version(registered.name, "2")
    model_id = two.source.removeprefix("models:/")
    client.create_model_version(
        registered.name, two.source, run_id=run, tags=dict(two.tags), model_id=model_id
    )
    message = refused(registered, "promote", MODEL, "4")
    assert "artifacts at 'file:///" in message
    assert registered.alias() == 4  # the database has the decision
    assert not list(place.rglob("*"))


def test_a_file_scored_by_both(registered: Registered) -> None:
    table = features(400, seed=3)
    truth = 2.0 * table["x"].to_numpy() + table["k"].to_numpy()
    data = registered.path.parent / "holdout.parquet"
    pq.write_table(table.append_column("y", pa.array(truth)), data)
    offline = {"data": str(data), "label": "y", "metric": "mae", "margin": 0.5}
    registered.gates(offline=offline)
    assert registered.run("promote", MODEL, "3").exit_code == 1
    decision = registered.json("promote", MODEL, "2")
    gate = decision["verdict"]["gates"][1]
    expected = float(np.abs(0.1 * table["x"].to_numpy()).mean())
    assert gate["measured"] == pytest.approx(expected, rel=1e-3)
    registered.gates(offline={**offline, "label": "z"})
    result = registered.run("promote", MODEL, "3")
    assert "has no column 'z'" in result.output


def test_labels_decide(registered: Registered) -> None:
    registered.gates(
        performance={"metric": "brier", "min_events": 300, "margin": 0.01},
        calibration={"min_events": 300, "margin": 0.05},
    )
    random = np.random.default_rng(0)
    chance = random.random(400)
    label = (random.random(400) < chance).astype(float)
    registered.live(chance, np.full(400, 0.5), label=label)
    # a correction: the last word counts
    registered.sql(
        "INSERT INTO driftline.label (label_time, model, event_id, label, source, kafka_offset,"
        " kafka_time) SELECT label_time + interval '1 h', model, event_id, 1 - label, source,"
        " kafka_offset + 1000, kafka_time FROM driftline.label WHERE event_id = 'e0'"
    )
    result = registered.run("promote", MODEL, "2", "--json")
    assert result.exit_code == 1
    gates = {gate["name"]: gate for gate in json.loads(result.stdout)["verdict"]["gates"]}
    label[0] = 1 - label[0]
    worse = (0.5 - label) ** 2 - (chance - label) ** 2
    assert gates["performance"]["measured"] == pytest.approx(worse.mean())
    error = worse.std(ddof=1) / 20
    assert gates["performance"]["numbers"]["standard_error"] == pytest.approx(error)
    assert gates["calibration"]["numbers"]["events"] == 400


def test_a_version_that_does_not_fit_the_live_features(registered: Registered) -> None:
    registered.sql("ALTER TABLE driftline.prediction_payments DROP COLUMN k")
    result = registered.run("promote", MODEL, "2")
    assert result.exit_code == 1
    assert "signature: model input 'k' has no feature column" in result.output
    assert registered.alias() == 1


def test_a_canary_finds_the_few_events_that_have_labels(registered: Registered) -> None:
    registered.gates(performance={"metric": "brier", "min_events": 100, "margin": 0.01})
    label = np.arange(1_000) % 2.0
    registered.live(label, 1 - label, label=label)
    registered.sql("DELETE FROM driftline.label WHERE mod(kafka_offset, 5) <> 0")
    (verdict,) = failed_gates(registered.config, MODEL, 1, 2)
    assert (verdict.name, verdict.measured) == ("performance", 1.0)


@pytest.mark.parametrize(
    ("kind", "why"),
    [("hangs", "it did not load and predict within 2 s"), ("raises", "InvalidArgumentError")],
)
def test_a_version_that_hangs_or_raises_harms_no_command(
    registered: Registered, tmp_path: Path, kind: str, why: str
) -> None:
    """On 100 rows, which is more than it was registered with."""
    path = odd_models.save(tmp_path / kind, kind, rows=100)
    register(registered.config.local_mlflow(), registered.name, path, saved_model.reference(50))
    registered.sql(
        f"""ALTER TABLE driftline.prediction_{MODEL}
            ADD COLUMN amount float8, ADD COLUMN items int8, ADD COLUMN country text"""
    )
    if kind == "hangs":
        registered.set("registry", name=registered.name, preflight_timeout="2 s")
    result = registered.run("promote", MODEL, "4")
    assert result.exit_code == 1, result.exception
    assert f"signature: {why}" in result.output
    assert registered.alias() == 1
    pq.write_table(saved_model.reference(100), tmp_path / "reference.parquet")
    options = ("--name", registered.name, "--reference", str(tmp_path / "reference.parquet"))
    message = refused(registered, "register", str(path), *options)
    assert f"fails the preflight check: {why}" in message


def test_a_champion_whose_score_nobody_has_chosen_serves_nowhere(registered: Registered) -> None:
    """Reported before a job starts; a worker would only notice after it has loaded the model."""
    registered.set("registry", name=registered.name, score={"output": "both"})
    with pytest.raises(RegistryError, match="'both' has 2 numbers per row"):
        check_ready(registered.config, MODEL)
    registered.set("registry", name=registered.name, score={"output": "both", "index": 0})
    with pytest.raises(ServiceError, match="has no topic"):  # all else is there
        check_ready(registered.config, MODEL)


def test_roll_back_goes_to_a_champion_that_was_registered_as_such(registered: Registered) -> None:
    registered.sql("DELETE FROM driftline.promotion")  # nothing was decided, and no job has run
    registered.json("promote", MODEL, "2", "--force", "--reason", "urgent")
    decision = registered.json("rollback", MODEL)
    assert (decision["version"], decision["previous"]) == (1, 2)
    assert registered.alias() == 1


def test_roll_back_goes_back_again_and_again(registered: Registered) -> None:
    for version in ("2", "3"):
        registered.json("promote", MODEL, version)
    decision = registered.json("rollback", MODEL, "--reason", "too slow")
    assert (decision["version"], decision["previous"], decision["kind"]) == (2, 3, "rolled_back")
    assert registered.alias() == 2
    assert registered.tags(2)["driftline.decision"] == "rolled_back"
    result = registered.run("rollback", MODEL)
    assert "payments version 1 is champion again; previous: version 2" in result.output
    assert registered.alias() == 1
    assert "model 'payments' has no champion before version 1" in refused(
        registered, "rollback", MODEL
    )


def test_roll_back_skips_what_may_not_serve(registered: Registered) -> None:
    for version in ("2", "3"):
        registered.json("promote", MODEL, version)
    registered.quarantine(2)
    assert registered.json("rollback", MODEL)["version"] == 1
    registered.json("promote", MODEL, "3")
    registered.json("reinstate", MODEL, "2", "--reason", "it was the network")
    registered.json("promote", MODEL, "2")
    registered.json("retire", MODEL, "3")
    assert registered.json("rollback", MODEL)["version"] == 1


def test_roll_back_of_an_alias_that_was_moved_outside(registered: Registered) -> None:
    registered.json("promote", MODEL, "2")
    registered.point(3)
    assert registered.json("rollback", MODEL)["version"] == 2


def test_roll_back_of_an_alias_that_was_moved_to_an_earlier_champion(
    registered: Registered,
) -> None:
    for version in ("2", "3"):
        registered.json("promote", MODEL, version)
    for moved in (2, 1):
        registered.point(moved)
        decision = registered.json("rollback", MODEL)
        assert (decision["version"], decision["previous"]) == (3, moved)
        assert registered.alias() == 3
    assert registered.json("rollback", MODEL)["version"] == 2


@pytest.mark.parametrize("mode", ["record", "enforce"])
def test_the_gates_compare_with_what_serves_wherever_the_alias_is(
    registered: Registered, mode: str
) -> None:
    registered.gates(mode=mode, agreement=AGREEMENT)
    registered.live(np.full(300, 0.5), np.full(300, 0.9))
    if mode == "enforce":
        registered.point(3)
    else:
        registered.client.delete_registered_model_alias(registered.name, "champion")
    result = registered.run("promote", MODEL, "2")
    assert result.exit_code == 1
    assert "agreement: 0.00% of 300 events agree" in result.output
    assert "the champion is still version 1" in result.output
    decision = registered.json("promote", MODEL, "2", "--force", "--reason", "it is better")
    assert (decision["kind"], decision["previous"]) == ("forced", 1)
    assert decision["verdict"]["against"] == 1
    assert registered.alias() == 2
    registered.client.delete_model_version(registered.name, "2")  # and its alias
    result = registered.run("promote", MODEL, "3")
    assert "agreement: 0 of the required 200 events" in result.output
    assert "the champion is still version 1" in result.output


def test_an_alias_that_points_to_what_is_not_decided_is_compared_with_in_mode_record(
    registered: Registered,
) -> None:
    registered.point(3)
    decision = registered.json("promote", MODEL, "2")
    assert (decision["previous"], decision["verdict"]["against"]) == (3, 3)


def test_a_quarantined_version_is_never_promoted(registered: Registered) -> None:
    registered.quarantine(2)
    forced = ("promote", MODEL, "2", "--force", "--reason", "I know better")
    assert "has been quarantined since" in refused(registered, *forced)
    assert registered.alias() == 1
    assert "is not quarantined" in refused(registered, "reinstate", MODEL, "3", "--reason", "x")
    registered.json("reinstate", MODEL, "2", "--reason", "tried by hand")
    assert registered.json(*forced)["kind"] == "promoted"
    events = registered.json("history", MODEL)["events"]
    assert [(event["kind"], event["workers"]) for event in events] == [("reinstated", ["tester"])]


def test_an_alias_that_is_moved_while_the_gates_are_asked(registered: Registered) -> None:
    with locked(registered.config, MODEL) as connection:
        process = start(registered, "2")
        wait_for_waiting(connection, 1)
        registered.point(3)
    assert process.wait(PATIENCE) == 1
    message = "it was version 1 and is now version 3, moved outside driftline; nothing was changed"
    assert message in process.stderr.read().replace("\n", " ")
    assert registered.alias() == 3


def test_a_champion_that_is_decided_while_its_alias_stays_where_it_was(
    registered: Registered,
) -> None:
    registered.gates(mode="enforce")
    registered.point(3)
    with locked(registered.config, MODEL) as connection:
        process = start(registered, "2")
        wait_for_waiting(connection, 1)
        promotions.decide(connection, MODEL, 3, previous=1, kind="promoted", by="another")
    assert process.wait(PATIENCE) == 1
    message = "it was version 1 and is now version 3, promoted by another at"
    assert message in process.stderr.read().replace("\n", " ")
    assert registered.alias() == 3


def test_of_two_promotions_at_once_one_wins(registered: Registered) -> None:
    with locked(registered.config, MODEL) as connection:
        processes = [start(registered, version) for version in ("2", "3")]
        wait_for_waiting(connection, 2)
    codes = [process.wait(PATIENCE) for process in processes]
    assert sorted(codes) == [0, 1]
    winner = 2 if codes[0] == 0 else 3
    message = processes[codes.index(1)].stderr.read().replace("\n", " ")
    assert f"and is now version {winner}, promoted by process {winner} at" in message
    assert registered.alias() == winner
    kinds = registered.sql("SELECT kind, version FROM driftline.promotion ORDER BY id")
    assert kinds == [("first", 1), ("promoted", winner)]


def test_a_reader_that_holds_all_it_can_stops_no_promotion(registered: Registered) -> None:
    with holding(registered.config.local_postgres(), MODEL):
        assert registered.json("promote", MODEL, "2")["kind"] == "promoted"
        assert registered.json("rollback", MODEL)["version"] == 1
    assert registered.alias() == 1


def start(registered: Registered, version: str) -> Any:
    """A promotion in a process of its own."""
    environment = {**os.environ, "DRIFTLINE_USER": f"process {version}", "COLUMNS": "500"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = ["-m", "driftline.cli", "models", "promote", MODEL, version]
    return subprocess.Popen(
        [sys.executable, *command, "--config", str(registered.path)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_waiting(connection: Any, n: int) -> None:
    """Wait until n others have evaluated their gates and wait for this connection's lock."""
    query = """SELECT count(*) FROM pg_stat_activity
                WHERE application_name = %s AND pid <> pg_backend_pid()
                  AND datname = current_database()"""
    deadline = time.monotonic() + PATIENCE
    while connection.execute(query, [names.PROMOTION]).fetchone() != (n,):
        assert time.monotonic() < deadline, f"{n} promotions never came to the lock"
        time.sleep(0.1)


@contextmanager
def refusing(registered: Registered, stack: Stack, table: str) -> Iterator[None]:
    """MLflow's own database refuses the model's rows of a table: its server gives an error."""
    trigger = f"refuse_{registered.name.replace('-', '_')}"
    with closing(sqlite3.connect(stack.folder / "mlflow" / "mlflow.db", timeout=30)) as store:
        for event in ("INSERT", "UPDATE"):
            store.execute(
                f"""CREATE TRIGGER {trigger}_{event} BEFORE {event} ON {table}
                    WHEN NEW.name = '{registered.name}'
                    BEGIN SELECT RAISE(ABORT, 'out of order'); END"""
            )
        store.commit()
        yield
        for event in ("INSERT", "UPDATE"):
            store.execute(f"DROP TRIGGER {trigger}_{event}")
        store.commit()


def test_an_alias_that_mlflow_will_not_move_takes_the_decision_back(
    registered: Registered, stack: Stack
) -> None:
    with refusing(registered, stack, "registered_model_aliases"):
        result = registered.run("promote", MODEL, "2")
    assert isinstance(result.exception, DriftlineError), (result.output, result.exception)
    assert "can't set alias 'champion'" in str(result.exception)
    assert registered.alias() == 1
    last = registered.sql(
        "SELECT version, kind, reason FROM driftline.promotion ORDER BY id DESC LIMIT 3"
    )
    assert [row[:2] for row in last] == [(1, "rolled_back"), (2, "refused"), (2, "promoted")]
    assert all("can't set alias" in reason for _, _, reason in last[:2])
    assert registered.run("promote", MODEL, "2").exit_code == 0
    assert registered.alias() == 2
    registered.point(3)
    with refusing(registered, stack, "registered_model_aliases"):
        result = registered.run("rollback", MODEL)
    assert isinstance(result.exception, DriftlineError), (result.output, result.exception)
    (last,) = registered.sql(
        "SELECT version, kind FROM driftline.promotion ORDER BY id DESC LIMIT 1"
    )
    assert last == (2, "rolled_back")  # not 3, whose gates were never evaluated


def test_shadows(registered: Registered) -> None:
    assert registered.json("shadow", MODEL, "2")["alias"] == "shadow"
    assert registered.json("shadow", MODEL, "2")["alias"] == "shadow"
    assert registered.json("shadow", MODEL, "3")["alias"] == "shadow-2"
    assert (registered.alias("shadow"), registered.alias("shadow-2")) == (2, 3)
    registered.json("shadow", MODEL, "2", "--stop")
    assert registered.alias("shadow") is None
    assert "is not a shadow" in refused(registered, "shadow", MODEL, "2", "--stop")
    assert "is champion itself" in refused(registered, "shadow", MODEL, "1")
    registered.quarantine(2)
    assert "has been quarantined since" in refused(registered, "shadow", MODEL, "2")
    assert "can't find version 9" in refused(registered, "shadow", MODEL, "9")


def test_canaries(registered: Registered) -> None:
    assert "has no challenger" in refused(registered, "canary", MODEL, "5%")
    registered.json("challenge", MODEL, "2")
    for share, message in (("101%", "use 0 to 100"), ("nan", "use 0 to 100"), ("x", "percentage")):
        assert message in refused(registered, "canary", MODEL, share)
    canary = registered.json("canary", MODEL, "5%")["canary"]
    assert (canary["percent"], canary["version"]) == (5.0, 2)
    tag = registered.client.get_registered_model(registered.name).tags["driftline.canary"]
    assert json.loads(tag) == canary
    assert registered.json("canary", MODEL)["canary"] == canary
    assert "sends 5 % of events to version 2" in refused(registered, "challenge", MODEL, "3")
    assert "gets 5 % since" in registered.run("canary", MODEL).output
    assert registered.json("canary", MODEL, "stop")["canary"] is None
    assert registered.json("canary", MODEL)["canary"] is None
    registered.json("challenge", MODEL, "3")
    assert registered.alias("challenger") == 3
    registered.quarantine(3)
    assert "has been quarantined since" in refused(registered, "canary", MODEL, "5%")


def test_a_promoted_challenger_is_challenger_no_more(registered: Registered) -> None:
    registered.json("challenge", MODEL, "2")
    registered.json("canary", MODEL, "5%")
    registered.json("shadow", MODEL, "3")
    registered.json("promote", MODEL, "2")
    assert roles_of(registered) == ({"champion": 2, "shadow": 3}, False)


def test_a_champion_again_is_challenger_no_more(registered: Registered) -> None:
    registered.json("promote", MODEL, "2")
    registered.json("challenge", MODEL, "1")
    registered.json("canary", MODEL, "10%")
    registered.json("rollback", MODEL)
    assert roles_of(registered) == ({"champion": 1}, False)


def test_a_challenger_that_became_champion_by_hand_is_challenger_no_more(
    registered: Registered,
) -> None:
    registered.json("challenge", MODEL, "2")
    registered.json("canary", MODEL, "10%")
    registered.point(2)
    registered.json("promote", MODEL, "3")
    assert roles_of(registered) == ({"champion": 3}, False)


def test_a_promoted_challenger_is_none_even_where_nothing_can_be_written_down(
    registered: Registered, stack: Stack
) -> None:
    registered.json("challenge", MODEL, "2")
    registered.json("canary", MODEL, "10%")
    with refusing(registered, stack, "model_version_tags"):
        result = registered.run("promote", MODEL, "2")
    assert "but can't be tagged" in str(result.exception)
    assert roles_of(registered) == ({"champion": 2}, False)


def test_a_challenger_that_is_registered_as_champion_is_challenger_no_more(
    registered: Registered, tmp_path: Path
) -> None:
    registered.client.delete_registered_model_alias(registered.name, "champion")
    path = saved_models.save(tmp_path / "again", 2.1)

    def again(alias: str) -> int:
        settings = registered.config.local_mlflow()
        return register(settings, registered.name, path, features(), alias=alias).version

    version = again("challenger")
    registered.json("canary", MODEL, "10%")
    assert again("champion") == version
    assert roles_of(registered) == ({"champion": version}, False)


def roles_of(registered: Registered) -> tuple[dict[str, int], bool]:
    """The versions by their aliases, and whether there is a canary."""
    registered_model = registered.client.get_registered_model(registered.name)
    pointing = {alias: int(version) for alias, version in registered_model.aliases.items()}
    return pointing, "driftline.canary" in registered_model.tags


def test_a_retired_version(registered: Registered) -> None:
    assert "is champion: it can't be retired" in refused(registered, "retire", MODEL, "1")
    assert "by tester" in registered.json("retire", MODEL, "2")["retired"]
    forced = ("promote", MODEL, "2", "--force", "--reason", "x")
    assert "was retired (by tester" in refused(registered, *forced)
    assert "retired" in registered.run("show", MODEL).output


def test_show_compare_and_history(registered: Registered) -> None:
    registered.live(np.linspace(0, 1, 101), np.linspace(0, 1, 101) + 0.2)
    shown = registered.json("show", MODEL)
    assert [version["aliases"] for version in shown["versions"]] == [[], [], ["champion"]]
    version = registered.json("show", MODEL, "1")
    assert version["aliases"] == "champion"
    assert "first by tester" in version["decisions"][0]
    assert "sha256" not in registered.run("show", MODEL, "1").output
    comparison = registered.json("compare", MODEL, "1", "2")
    assert comparison["live"]["events"] == 101
    assert comparison["live"]["mean_difference"] == pytest.approx(0.2)
    assert [side["score p50"] for side in comparison["versions"]] == pytest.approx([0.5, 0.7])
    assert "101 live events" in registered.run("compare", MODEL, "1", "2").output
    assert "no live events" in registered.run("compare", MODEL, "1", "3").output
    history = registered.json("history", MODEL)
    assert [decision["kind"] for decision in history["decisions"]] == ["first"]
    assert "first" in registered.run("history", MODEL).output


def test_the_latest_events_are_read_within_the_window(registered: Registered) -> None:
    n = 3_000  # 50 minutes: more than the first slab of time
    registered.live(np.arange(n, dtype=float), np.arange(n) + 0.5)
    postgres = registered.config.local_postgres()

    def read(**more: Any) -> live_evidence.Pairs:
        return live_evidence.pairs(postgres, MODEL, 1, 2, **more)

    from datetime import timedelta

    everything = read(window=timedelta(days=1))
    assert len(everything) == n
    assert (everything.champion == np.arange(n)[::-1]).all()
    assert (everything.candidate - everything.champion == 0.5).all()
    assert len(read(window=timedelta(minutes=15))) == 900
    assert (read(window=timedelta(days=1), limit=700).champion == everything.champion[:700]).all()
    assert len(live_evidence.pairs(postgres, MODEL, 1, 3, window=timedelta(days=1))) == 0
    with connect(postgres, "migrate", autocommit=True) as connection:  # a canary's other side
        connection.execute("UPDATE driftline.prediction_payments SET model_version = 3")
    backwards = live_evidence.pairs(postgres, MODEL, 2, 3, window=timedelta(days=1))
    assert (backwards.champion - backwards.candidate == 0.5).all()
