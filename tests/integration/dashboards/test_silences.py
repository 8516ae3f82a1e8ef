"""Silences and acknowledgements of driftline become silences of Grafana, and end with them."""

import copy
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from driftline.cli.app import app
from driftline.cli.grafana_silences import keep_synced
from driftline.dashboards.sync.alert_rules import rules
from driftline.dashboards.sync.silences import Synced, end_all, sync
from driftline.storage.connection import connect
from tests.grafana.evaluate import evaluate
from tests.grafana.silences import mutes
from tests.integration.dashboards.conftest import Driver


@pytest.fixture(autouse=True)
def clean(driver: Driver) -> None:
    with connect(driver.config.postgres, "migrate", autocommit=True) as connection:
        connection.execute("TRUNCATE driftline.silence, driftline.incident")


def execute(driver: Driver, statement: str) -> None:
    with connect(driver.config.postgres, "write", autocommit=True) as connection:
        connection.execute(statement)


def synced(driver: Driver) -> Synced:
    with driver.open() as grafana:
        return sync(grafana.server, grafana.connection, grafana.state)


def active(driver: Driver) -> list[dict[str, str]]:
    """What those that last match, beside that it is driftline's."""
    return [
        {one["name"]: one["value"] for one in silence["matchers"] if not one["isRegex"]}
        for silence in driver.stand_in.store.silences.values()
        if silence["status"]["state"] == "active"
    ]


def test_a_silence_comes_and_goes(driver: Driver) -> None:
    execute(
        driver,
        "INSERT INTO driftline.silence (model, family, ends_at, created_by, reason)"
        " VALUES ('fraud', 'drift', now() + interval '2 hours', 'mia', 'known')",
    )
    assert synced(driver) == Synced(1, 0)
    assert active(driver) == [{"model": "fraud", "family": "drift"}]
    assert synced(driver) == Synced(0, 0)
    with connect(driver.config.postgres, "read") as connection:
        (noted,) = connection.execute("SELECT grafana_id FROM driftline.silence").fetchone() or ()
    assert noted in driver.stand_in.store.silences
    execute(driver, "UPDATE driftline.silence SET ends_at = now()")
    assert synced(driver) == Synced(0, 1)
    assert active(driver) == []


def test_a_silence_of_all_families_matches_the_model_alone(driver: Driver) -> None:
    execute(
        driver,
        "INSERT INTO driftline.silence (model, ends_at, created_by, reason)"
        " VALUES ('fraud', now() + interval '2 hours', 'mia', 'known')",
    )
    synced(driver)
    assert active(driver) == [{"model": "fraud"}]


def muted(driver: Driver, uid: str, **labels: str) -> bool:
    """Whether an alert of a rule is silent."""
    silences = driver.stand_in.store.silences.values()
    return any(mutes(one, {"__alert_rule_uid__": uid, **labels}) for one in silences)


def test_rules_of_others_are_not_silent(driver: Driver) -> None:
    """They may have the same labels."""
    execute(
        driver,
        "INSERT INTO driftline.silence (model, ends_at, created_by, reason)"
        " VALUES ('fraud', now() + interval '2 hours', 'mia', 'known')",
    )
    synced(driver)
    assert muted(driver, "driftline-drift-page-payments", model="fraud", family="drift")
    assert not muted(driver, "driftline-drift-page-payments", model="spend", family="drift")
    assert not muted(driver, "a1b2", model="fraud", family="drift")


def test_one_of_an_earlier_version_is_replaced(driver: Driver) -> None:
    """Which also silenced rules of others."""
    execute(
        driver,
        "INSERT INTO driftline.silence (model, ends_at, created_by, reason)"
        " VALUES ('fraud', now() + interval '2 hours', 'mia', 'known')",
    )
    synced(driver)
    (silence,) = driver.stand_in.store.silences.values()
    silence["matchers"] = [one for one in silence["matchers"] if one["name"] == "model"]
    with driver.open() as grafana:
        for key, last in grafana.state.load().items():
            noted = {name: one for name, one in (last.applied or {}).items() if name != "matchers"}
            grafana.state.record(key, noted, {})
    assert synced(driver) == Synced(1, 0)
    assert active(driver) == [{"model": "fraud"}]
    assert muted(driver, "driftline-drift-page-payments", model="fraud")
    assert not muted(driver, "a1b2", model="fraud")
    assert synced(driver) == Synced(0, 0)


def test_a_longer_silence_is_prolonged(driver: Driver) -> None:
    execute(
        driver,
        "INSERT INTO driftline.silence (model, ends_at, created_by, reason)"
        " VALUES ('fraud', now() + interval '1 hour', 'mia', 'known')",
    )
    synced(driver)
    execute(driver, "UPDATE driftline.silence SET ends_at = now() + interval '5 hours'")
    assert synced(driver) == Synced(1, 0)
    assert active(driver) == [{"model": "fraud"}]


def test_an_acknowledged_incident_is_silent_until_it_is_resolved(driver: Driver) -> None:
    execute(
        driver,
        "INSERT INTO driftline.incident (model, family, severity, since, last, summary,"
        " contributors, acknowledged_at, acknowledged_by) VALUES"
        " ('fraud', 'latency', 'page', now(), now(), 's', '[]', now(), 'ben')",
    )
    assert synced(driver) == Synced(1, 0)
    assert active(driver) == [{"model": "fraud", "family": "latency"}]
    assert synced(driver) == Synced(0, 0)
    execute(driver, "UPDATE driftline.incident SET resolved_at = now()")
    assert synced(driver) == Synced(0, 1)
    assert active(driver) == []


def test_one_that_was_ended_in_grafana_is_not_made_again(driver: Driver) -> None:
    execute(
        driver,
        "INSERT INTO driftline.silence (model, ends_at, created_by, reason)"
        " VALUES ('fraud', now() + interval '1 hour', 'mia', 'known')",
    )
    synced(driver)
    for silence in driver.stand_in.store.silences.values():
        silence["status"] = {"state": "expired"}
    execute(driver, "UPDATE driftline.silence SET ends_at = now() + interval '5 hours'")
    assert synced(driver) == Synced(0, 0)
    assert active(driver) == []


POSTS = r"POST .*/silences$"
HOURS_2 = (
    "INSERT INTO driftline.silence (model, family, ends_at, created_by, reason)"
    " VALUES ('fraud', 'drift', now() + interval '2 hours', 'mia', 'known')"
)
ACKNOWLEDGED = (
    "INSERT INTO driftline.incident (model, family, severity, since, last, summary,"
    " contributors, acknowledged_at, acknowledged_by) VALUES"
    " ('fraud', 'drift', 'page', now(), now(), 's', '[]', now(), 'ben')"
)
OVER = (
    "UPDATE driftline.silence SET ends_at = now();"
    " UPDATE driftline.incident SET resolved_at = now()"
)


@pytest.mark.parametrize("made", [HOURS_2, ACKNOWLEDGED])
@pytest.mark.parametrize("status", [500, 502, 504])
def test_one_whose_answer_was_lost_is_not_made_twice(
    driver: Driver, made: str, status: int
) -> None:
    execute(driver, made)
    faults = driver.stand_in.faults
    faults.only, faults.late, faults.answers = POSTS, True, [status]
    assert synced(driver) == Synced(1, 0)
    assert active(driver) == [{"model": "fraud", "family": "drift"}]
    assert synced(driver) == Synced(0, 0)
    execute(driver, OVER)
    assert synced(driver) == Synced(0, 1)
    assert active(driver) == []


def test_one_that_never_came_is_sent_again(driver: Driver) -> None:
    execute(driver, HOURS_2)
    faults = driver.stand_in.faults
    faults.only, faults.answers = POSTS, [502]
    assert synced(driver) == Synced(1, 0)
    assert active(driver) == [{"model": "fraud", "family": "drift"}]


def test_a_change_whose_answer_was_lost_is_not_made_twice(driver: Driver) -> None:
    """Other matchers need another silence, which takes the place of the old one."""
    execute(driver, HOURS_2)
    synced(driver)
    execute(driver, "UPDATE driftline.silence SET family = NULL")
    faults = driver.stand_in.faults
    faults.only, faults.late, faults.answers = POSTS, True, [504]
    assert synced(driver) == Synced(1, 0)
    assert active(driver) == [{"model": "fraud"}]
    execute(driver, OVER)
    synced(driver)
    assert active(driver) == []


class CrashError(Exception):
    """The end of the process."""


def crashed(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that ends after Grafana was asked, and before its answer is remembered."""

    def crash(*_: Any) -> None:
        raise CrashError

    with driver.open() as grafana:
        monkeypatch.setattr(grafana.state, "record", crash)
        with pytest.raises(CrashError):
            sync(grafana.server, grafana.connection, grafana.state)


@pytest.mark.parametrize("made", [HOURS_2, ACKNOWLEDGED])
def test_one_that_a_crash_left_is_taken_over(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    execute(driver, made)
    crashed(driver, monkeypatch)
    assert synced(driver) == Synced(1, 0)
    assert active(driver) == [{"model": "fraud", "family": "drift"}]
    asked = len(driver.stand_in.log)
    assert synced(driver) == Synced(0, 0)
    assert driver.stand_in.log[asked:] == []
    execute(driver, OVER)
    synced(driver)
    assert active(driver) == []


def test_a_change_that_a_crash_left_is_taken_over(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(driver, HOURS_2)
    synced(driver)
    execute(driver, "UPDATE driftline.silence SET family = NULL")
    crashed(driver, monkeypatch)
    synced(driver)
    assert active(driver) == [{"model": "fraud"}]
    execute(driver, OVER)
    synced(driver)
    assert active(driver) == []


@pytest.mark.parametrize("made", [HOURS_2, ACKNOWLEDGED])
def test_one_that_a_crash_left_ends_with_what_it_was_made_for(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, made: str
) -> None:
    execute(driver, made)
    crashed(driver, monkeypatch)
    assert len(active(driver)) == 1
    execute(driver, OVER)
    assert synced(driver) == Synced(0, 1)
    assert active(driver) == []


def copied(driver: Driver, **changes: Any) -> str:
    """Another silence like the only one there is."""
    (silence,) = driver.stand_in.store.silences.values()
    driver.stand_in.store.silences["copy"] = {**copy.deepcopy(silence), "id": "copy", **changes}
    return "copy"


@pytest.mark.parametrize(
    "then", ["UPDATE driftline.silence SET ends_at = now() + interval '5 hours'", OVER]
)
def test_surplus_ones_of_earlier_versions_end(driver: Driver, then: str) -> None:
    execute(driver, HOURS_2)
    synced(driver)
    copied(driver)
    execute(driver, then)
    synced(driver)
    assert active(driver) == ([] if then == OVER else [{"model": "fraud", "family": "drift"}])


@pytest.mark.parametrize("theirs", ["comment", "model"])
def test_silences_of_others_stay(driver: Driver, theirs: str) -> None:
    """Other words, or the same of another model."""
    execute(driver, HOURS_2)
    synced(driver)
    matcher = {"name": "model", "value": "spend", "isRegex": False, "isEqual": True}
    other = {"comment": "known"} if theirs == "comment" else {"matchers": [matcher]}
    kept = copied(driver, **other)
    execute(driver, "UPDATE driftline.silence SET ends_at = now() + interval '5 hours'")
    assert synced(driver) == Synced(1, 0)
    execute(driver, OVER)
    assert synced(driver) == Synced(0, 1)
    assert driver.stand_in.store.silences[kept]["status"] == {"state": "active"}


def test_all_end_when_driftline_leaves(driver: Driver) -> None:
    execute(
        driver,
        "INSERT INTO driftline.silence (model, ends_at, created_by, reason)"
        " VALUES ('fraud', now() + interval '1 hour', 'mia', 'known')",
    )
    synced(driver)
    with driver.open() as grafana:
        end_all(grafana.server, grafana.state)
    assert active(driver) == []


def test_the_runner_keeps_grafana_in_step(driver: Driver) -> None:
    execute(
        driver,
        "INSERT INTO driftline.silence (model, ends_at, created_by, reason)"
        " VALUES ('fraud', now() + interval '1 hour', 'mia', 'known')",
    )
    with keep_synced(driver.config, every=0.01):
        while not active(driver):
            time.sleep(0.01)
        execute(driver, "UPDATE driftline.silence SET ends_at = now()")
    assert active(driver) == []


def test_a_grafana_that_is_away_does_not_disturb_the_runner(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    execute(
        driver,
        "INSERT INTO driftline.silence (model, ends_at, created_by, reason)"
        " VALUES ('fraud', now() + interval '1 hour', 'mia', 'known')",
    )
    driver.change(url="http://127.0.0.1:9")
    with keep_synced(driver.config):
        pass
    assert "is unreachable" in caplog.text
    driver.change(url=None, token=None)
    with keep_synced(driver.config):
        pass


@pytest.fixture
def file(driver: Driver, tmp_path: Path) -> Path:
    """The driver's config as a file, and an incident that fires."""
    path = tmp_path / "driftline.yaml"
    path.write_text(yaml.safe_dump(json.loads(driver.config.model_dump_json(exclude_none=True))))
    execute(
        driver,
        "INSERT INTO driftline.incident (model, family, severity, since, last, summary,"
        " contributors) VALUES ('fraud', 'drift', 'page', now(), now(), 's', '[]')",
    )
    execute(
        driver,
        "INSERT INTO driftline.alert (model, family, team, state, severity, since) VALUES"
        " ('fraud', 'drift', 'payments', 'firing', 'page', now())"
        " ON CONFLICT (model, family) DO UPDATE SET state = 'firing', severity = 'page'",
    )
    return path


def typed(file: Path, *words: str) -> str:
    result = CliRunner().invoke(app, ["alerts", *words, "--config", str(file)])
    assert result.exit_code == 0, result.output
    return result.output


def fires(driver: Driver) -> bool:
    """Whether Grafana takes the model for one that drifts."""
    store = driver.stand_in.store
    store.rules = [
        one for one in rules(driver.config) if one["uid"] == "driftline-drift-page-payments"
    ]
    store.data_sources = {"driftline-timescaledb": {}}
    store.connect = partial(connect, driver.config.postgres, "read", autocommit=True)
    return [one.state for one in evaluate(store) if ("model", "fraud") in one.labels] == [
        "Alerting"
    ]


def test_a_silence_is_there_before_grafana_can_take_it_for_a_recovery(
    driver: Driver, file: Path
) -> None:
    assert fires(driver)
    typed(file, "silence", "fraud", "--for", "2 h", "--family", "drift")
    assert active(driver) == [{"model": "fraud", "family": "drift"}]
    assert fires(driver)
    typed(file, "unsilence", "fraud")
    assert active(driver) == []
    assert fires(driver)


def test_an_acknowledgement_is_at_once_a_silence(driver: Driver, file: Path) -> None:
    with connect(driver.config.postgres, "read") as connection:
        (number,) = connection.execute("SELECT id FROM driftline.incident").fetchone() or ()
    typed(file, "ack", str(number))
    assert active(driver) == [{"model": "fraud", "family": "drift"}]
    assert fires(driver)


@pytest.mark.parametrize(("status", "why"), [(503, "is busy"), (403, "denied permission")])
def test_a_silence_holds_when_grafana_is_away(
    driver: Driver, file: Path, status: int, why: str
) -> None:
    """Who asked for it is told, by the exit code too, and does not wait for long."""
    driver.stand_in.faults.answers = [status] * 100
    words = ("alerts", "silence", "fraud", "--for", "2 h", "--config", str(file))
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 4
    assert "fraud all families for 2 h" in result.stdout
    assert "done, but Grafana could not be updated" in result.stderr
    assert why in result.stderr
    assert len(driver.stand_in.faults.answers) > 90
    driver.stand_in.faults.answers = []
    assert synced(driver) == Synced(1, 0)
    assert active(driver) == [{"model": "fraud"}]


def test_one_that_has_run_out_is_made_anew(driver: Driver) -> None:
    execute(
        driver,
        "INSERT INTO driftline.silence (model, ends_at, created_by, reason)"
        " VALUES ('fraud', now() + interval '300 ms', 'mia', 'known')",
    )
    synced(driver)
    time.sleep(0.4)
    for silence in driver.stand_in.store.silences.values():
        silence["status"] = {"state": "expired"}
    execute(driver, "UPDATE driftline.silence SET ends_at = now() + interval '1 hour'")
    assert synced(driver) == Synced(1, 0)
    assert active(driver) == [{"model": "fraud"}]
