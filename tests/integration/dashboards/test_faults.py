"""Grafana down, slow, refusing, or left half-done: a clear message, and nothing of others' lost."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from driftline.dashboards.sync.apply import apply
from driftline.dashboards.sync.grafana_client import GrafanaError
from driftline.dashboards.sync.kinds.policy import CONTINUES
from driftline.dashboards.sync.permissions import check
from driftline.dashboards.sync.session import Session
from tests.grafana import sources
from tests.integration.dashboards.conftest import BOTH, NEW, OLD, TOKEN, Driver

_SOURCE = "driftline-timescaledb"


def test_down(driver: Driver) -> None:
    driver.change(url="http://127.0.0.1:9")
    with pytest.raises(GrafanaError, match=r"is unreachable: check that it runs, and grafana\.url"):
        driver.plan()


def test_slow(driver: Driver) -> None:
    driver.change(timeout=timedelta(milliseconds=200))
    driver.stand_in.faults.delay = 0.5
    with pytest.raises(GrafanaError, match=r"does not respond in time: see grafana\.timeout"):
        driver.plan()


def test_an_expired_token(driver: Driver) -> None:
    driver.stand_in.store.expired = {TOKEN}
    said = r"rejected the token \(Expired API key\): create a new one and set grafana\.token"
    with pytest.raises(GrafanaError, match=said) as raised:
        driver.plan()
    assert TOKEN not in str(raised.value)


def test_a_token_without_rights(driver: Driver) -> None:
    driver.stand_in.store.tokens = {TOKEN: "Viewer"}
    assert driver.plan().differs  # reading is allowed
    outcome = driver.apply()
    assert outcome.done == []
    failed = [str(error) for step, error in outcome.failed if step.kind.name != "rule_group"]
    assert all("denied permission" in error for error in failed)
    assert "Permissions needed: folders:create" in str(outcome.failed[0][1])


def test_an_editor_may_all_but_the_data_source(driver: Driver) -> None:
    driver.stand_in.store.tokens = {TOKEN: "Editor"}
    outcome = driver.apply()
    assert [step.kind.name for step, _ in outcome.failed] == ["datasource"]
    driver.change(data_source={"manage": False})
    assert driver.apply().ok


@pytest.mark.parametrize("way", ["apply", "destroy"])
def test_a_data_source_that_others_manage_now_stays(driver: Driver, way: str) -> None:
    """An Admin made it; the Editor's config says that it is there already."""
    driver.apply()
    before = copy.deepcopy(driver.stand_in.store.data_sources)
    driver.stand_in.store.tokens = {TOKEN: "Editor"}
    driver.change(data_source={"manage": False})
    assert [step.action for step in driver.plan().steps if step.uid == _SOURCE] == ["forget"]
    assert not driver.plan().differs
    assert (driver.apply() if way == "apply" else driver.destroy()).ok
    assert driver.stand_in.store.data_sources == before
    assert [step.uid for step in driver.plan().steps if step.uid == _SOURCE] == []
    driver.stand_in.store.tokens = {TOKEN: "Admin"}
    driver.change(data_source={"manage": True})
    driver.apply()
    driver.destroy()
    assert driver.stand_in.store.data_sources == before


def test_a_dashboard_from_a_file_is_left_to_it(driver: Driver) -> None:
    driver.apply()
    page = driver.stand_in.store.dashboards["driftline-fleet"]
    page["provisioned"] = True
    before = copy.deepcopy(page)
    for one in driver.pages:
        one["description"] = "Another"
    said = (
        "dashboard 'driftline-fleet' is provisioned from a file in Grafana: remove the file, or "
        "manage dashboards by files ('driftline dashboards export')"
    )
    (step,) = [step for step in driver.plan().steps if step.failed is not None]
    assert str(step.failed) == said
    outcome = driver.apply()
    assert [str(error) for _, error in outcome.failed] == [said]
    assert [step.uid for step in outcome.done] == ["driftline-models"]
    assert page == before
    driver.destroy()
    assert driver.stand_in.store.dashboards == {"driftline-fleet": before}


def test_a_data_source_from_a_file_is_left_to_it(driver: Driver) -> None:
    source = {"uid": "driftline-timescaledb", "name": "file", "type": "postgres"}
    store = driver.stand_in.store
    sources.provision(store, {**source, "access": "proxy"}, editable=False)
    before = copy.deepcopy(store.data_sources)
    outcome = driver.apply()
    assert [str(error) for _, error in outcome.failed] == [
        "data source 'driftline-timescaledb' is provisioned from a file in Grafana: change it "
        "there, or set grafana.data_source.manage: false"
    ]
    assert set(store.dashboards) == {"driftline-fleet", "driftline-models"}
    driver.change(data_source={"manage": False})
    assert driver.apply().ok
    driver.destroy()
    assert store.data_sources == before


def test_a_data_source_that_a_file_took_over_is_not_deleted(driver: Driver) -> None:
    driver.apply()
    driver.stand_in.store.data_sources["driftline-timescaledb"]["readOnly"] = True
    outcome = driver.destroy()
    assert [why for _, why in outcome.retained] == ["it is provisioned from a file in Grafana"]
    assert outcome.ok
    assert set(driver.stand_in.store.data_sources) == {"driftline-timescaledb"}


def test_doctor_names_the_missing_right(driver: Driver) -> None:
    driver.apply()
    before = dict(driver.stand_in.store.dashboards), list(driver.stand_in.store.rules)
    assert [right for right in check(driver.config) if not right.ok] == []
    driver.stand_in.store.tokens = {TOKEN: "Editor"}
    (missing,) = [right for right in check(driver.config) if not right.ok]
    assert missing.name == "write data sources"
    assert "or create the data source manually and set grafana.data_source.manage: false" in (
        missing.detail
    )
    driver.stand_in.store.version = "10.2.0"
    assert "work with Grafana 10.2" in [
        right.name for right in check(driver.config) if not right.ok
    ]
    driver.stand_in.store.version = NEW
    driver.stand_in.store.tokens = {TOKEN: "Viewer"}
    lacking = [right.name for right in check(driver.config) if not right.ok]
    assert "write alert rules" in lacking
    assert "read alert rules" not in lacking
    driver.stand_in.store.tokens = {}
    assert [right.name for right in check(driver.config) if not right.ok] == ["use the token"]
    assert (dict(driver.stand_in.store.dashboards), list(driver.stand_in.store.rules)) == before


def test_doctor_finds_a_corrupted_alertmanager(driver: Driver) -> None:
    driver.route_by("policies")
    driver.apply()
    assert [right for right in check(driver.config) if not right.ok] == []
    driver.stand_in.store.policies["continue"] = True
    (found,) = [right for right in check(driver.config) if not right.ok]
    assert (found.name, found.detail) == ("read policies", CONTINUES)
    driver.stand_in.store.corrupted = True
    found = next(right for right in check(driver.config) if not right.ok)
    assert found.name == "read contact points"
    assert "restore an earlier version in Grafana" in found.detail
    assert "cannot have continue in root route" in found.detail


def test_a_busy_server_is_asked_again(driver: Driver) -> None:
    driver.stand_in.faults.answers = [500, 429, 503, 502]
    driver.change(retry_for="1 min")
    assert driver.apply().ok
    assert not driver.plan().differs


def test_one_that_fails_stops_no_other(driver: Driver) -> None:
    driver.stand_in.faults.only = "POST /api/dashboards/db"
    driver.stand_in.faults.answers = [400]
    driver.change(concurrency=1)
    outcome = driver.apply()
    assert [step.key for step, _ in outcome.failed] == [("dashboard", "driftline-fleet")]
    assert set(driver.stand_in.store.dashboards) == {"driftline-models"}
    assert len(driver.stand_in.store.rules) == 1 + 2 * 14
    assert driver.apply().ok
    assert set(driver.stand_in.store.dashboards) == {"driftline-models", "driftline-fleet"}


def test_one_that_cannot_be_read_stops_no_other(driver: Driver) -> None:
    driver.apply()
    driver.stand_in.faults.only = "GET /api/dashboards/uid/driftline-fleet"
    driver.stand_in.faults.answers = [500, 500]
    driver.pages[1]["description"] = "Another"
    outcome = driver.apply()
    assert [step.key for step, _ in outcome.failed] == [("dashboard", "driftline-fleet")]
    assert [step.uid for step in outcome.done] == ["driftline-models"]


class CrashError(Exception):
    """The end of the process."""


def crashed(driver: Driver, grafana: Session) -> None:
    desired = grafana.desired_objects(driver.pages)
    with pytest.raises(CrashError):
        apply(grafana.server, grafana.state, desired)


@pytest.mark.parametrize("arrives", [True, False])
def test_what_a_crash_left_half_done_is_finished(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, arrives: bool
) -> None:
    """The crash comes around the saving of a dashboard: before it, or before it is remembered."""
    driver.apply()
    driver.pages[0]["description"] = "Second"
    with driver.open() as grafana:
        if arrives:
            record = grafana.state.record

            def crash_on_record(key: Any, *rest: Any) -> None:
                if key[0] == "dashboard":
                    raise CrashError
                record(key, *rest)

            monkeypatch.setattr(grafana.state, "record", crash_on_record)
        else:
            call = grafana.server.call

            def crash_on_call(doing: str, make: Any) -> Any:
                if doing.startswith("save the dashboard"):
                    raise CrashError
                return call(doing, make)

            monkeypatch.setattr(grafana.server, "call", crash_on_call)
        crashed(driver, grafana)
    driver.pages[0]["description"] = "Third"
    plan = driver.plan()
    assert [step.conflicts for step in plan.steps if step.conflicts] == []
    assert driver.apply().ok
    content = driver.stand_in.store.dashboards["driftline-fleet"]["content"]
    assert content["description"] == "Third"
    assert not driver.plan().differs


def test_a_first_apply_that_crashed_leaves_no_conflict(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(key: Any, *rest: Any) -> None:
        raise CrashError

    with driver.open() as grafana:
        monkeypatch.setattr(grafana.state, "record", crash)
        crashed(driver, grafana)
    assert driver.apply().ok
    assert not driver.plan().differs
    driver.destroy()
    assert driver.stand_in.store.folders == {}


@BOTH
def test_a_dashboard_of_the_same_title_is_not_overwritten(driver: Driver, version: str) -> None:
    """Version 11 refuses a second one of a title, 12 has both."""
    driver.apply()
    store = driver.stand_in.store
    theirs = {**store.dashboards.pop("driftline-fleet")}
    store.dashboards["theirs"] = theirs
    failed = {step.uid: str(error) for step, error in driver.apply().failed}
    if version == OLD:
        assert set(failed) == {"driftline-fleet"}
        assert "A dashboard with the same name in the folder" in failed["driftline-fleet"]
    else:
        assert failed == {}
    assert store.dashboards["theirs"] is theirs


def test_patience_ends(driver: Driver) -> None:
    driver.stand_in.faults.answers = [503] * 100
    with pytest.raises(GrafanaError, match=r"is busy \(HTTP 503 no luck\): try again later"):
        driver.plan()
