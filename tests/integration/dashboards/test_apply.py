"""Plan and apply against the stand-in: idempotent, three-way, careful with what others own."""

import copy
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from driftline.dashboards.definitions.generate import generate
from driftline.dashboards.sync.alert_rules import rules
from driftline.dashboards.sync.desired import desired_objects
from driftline.dashboards.sync.export import export
from driftline.dashboards.sync.show import as_json, diff_of, lines_of, outcome_lines
from driftline.errors import ConfigError
from driftline.storage.connection import connect
from tests.grafana import pages
from tests.hostile_reader import holding
from tests.integration.dashboards.conftest import (
    BOTH,
    TOKEN,
    Driver,
    Others,
    model,
    page,
    panel,
)

SECRETS = (TOKEN, "planted-hook-secret")


def edit(driver: Driver, uid: str, change: Any) -> None:
    """Change a dashboard as a person does in the page: the version grows."""
    stored = driver.stand_in.store.dashboards[uid]
    change(stored["content"])
    stored["version"] += 1


def stored(driver: Driver, uid: str) -> dict[str, Any]:
    found: dict[str, Any] = driver.stand_in.store.dashboards[uid]["content"]
    return found


def rule(driver: Driver, uid: str) -> dict[str, Any]:
    return next(one for one in driver.stand_in.store.rules if one["uid"] == uid)


def said(driver: Driver) -> list[str]:
    """The lines of a plan, without the sum."""
    return lines_of(driver.plan())[:-1]


def conflicts(driver: Driver, **options: Any) -> list[str]:
    return [c.dotted_path for step in driver.plan(**options).steps for c in step.conflicts]


@BOTH
def test_everything_is_made_and_a_second_plan_is_empty(driver: Driver) -> None:
    first = driver.plan()
    assert first.differs
    assert {step.action for step in first.steps} <= {"create", "update", "nothing"}
    assert driver.apply().failed == []
    store = driver.stand_in.store
    assert {one["title"] for one in store.folders.values()} == {
        "driftline",
        "driftline growth",
        "driftline payments",
    }
    assert set(store.dashboards) == {"driftline-fleet", "driftline-models"}
    assert len(store.rules) == 1 + 2 * 14
    assert {one["notification_settings"]["receiver"] for one in store.rules} == {"driftline-ops"}
    assert store.contact_points[0]["settings"]["authorization_credentials"] == SECRETS[1]
    source = store.data_sources["driftline-timescaledb"]
    assert source["user"] == "driftline_read"
    assert source["secure"]["password"]
    second = driver.plan()
    assert [step.key for step in second.steps if step.differs] == []
    assert not second.differs
    written = [line for line in driver.stand_in.log if not line.startswith("GET")]
    assert driver.apply().done == []
    assert [line for line in driver.stand_in.log if not line.startswith("GET")] == written


def test_an_unchanged_plan_makes_few_requests(driver: Driver) -> None:
    driver.apply()
    # folders, mute timings, contact points, rules; data source; two pages; three groups
    assert driver.plan().requests == 4 + 1 + 2 + 3


@BOTH
def test_edits_of_people_survive_and_ours_arrive(driver: Driver) -> None:
    driver.apply()
    edit(driver, "driftline-fleet", lambda page: page["panels"][0].update(title="My name"))
    edit(driver, "driftline-fleet", lambda page: page["panels"].append(panel(3, "Mine", 16)))
    edit(driver, "driftline-fleet", lambda page: page["tags"].append("mine"))
    seen = driver.plan()
    assert not seen.differs
    assert {change.dotted_path for step in seen.steps for change in step.edits} == {
        "panels.1.title",
        "panels.3",
        "tags.mine",
    }
    driver.pages[0] = page("driftline-fleet", panel(1), panel(2, "New name", 8), panel(7, y=24))
    assert driver.apply().ok
    found = stored(driver, "driftline-fleet")
    assert [one["title"] for one in found["panels"]] == ["My name", "New name", "Mine", "Panel 7"]
    assert found["tags"] == ["driftline", "mine"]
    assert not driver.plan().differs


@BOTH
def test_conflicts_are_listed_and_left_unless_forced(driver: Driver) -> None:
    driver.apply()
    edit(driver, "driftline-fleet", lambda page: page["panels"][0].update(title="Theirs"))
    driver.pages[0] = page("driftline-fleet", panel(1, "Ours"), panel(2, "Ours too", 8))
    assert conflicts(driver) == ["panels.1.title"]
    assert driver.apply().ok
    titles = [one["title"] for one in stored(driver, "driftline-fleet")["panels"]]
    assert titles == ["Theirs", "Ours too"]
    assert conflicts(driver) == ["panels.1.title"]  # not forgotten
    assert driver.plan().differs
    assert "conflict, not changed: panels.1.title: 'Theirs' -> 'Ours'" in "\n".join(
        lines_of(driver.plan())
    )
    assert driver.apply(force=True).ok
    assert stored(driver, "driftline-fleet")["panels"][0]["title"] == "Ours"
    assert not driver.plan().differs


def test_a_panel_that_was_deleted_stays_deleted(driver: Driver) -> None:
    driver.apply()
    edit(driver, "driftline-fleet", lambda page: page["panels"].pop(1))
    assert not driver.plan().differs
    driver.pages[0]["description"] = "Another"
    driver.apply()
    found = stored(driver, "driftline-fleet")
    assert [one["id"] for one in found["panels"]] == [1]
    assert found["description"] == "Another"


def test_a_dashboard_moved_by_hand_stays_there(driver: Driver, others: Others) -> None:
    driver.apply()
    driver.stand_in.store.dashboards["driftline-fleet"]["folderUid"] = "driftline-team-growth"
    assert said(driver) == [
        "= dashboard driftline-fleet: edited in Grafana, kept: folder: 'driftline' -> "
        "'driftline-team-growth'"
    ]
    driver.pages[0]["description"] = "Another"
    assert driver.apply().ok
    moved = driver.stand_in.store.dashboards["driftline-fleet"]
    assert moved["folderUid"] == "driftline-team-growth"
    assert moved["content"]["description"] == "Another"
    assert others.lost == []


@BOTH
def test_a_folder_deleted_by_hand_comes_back_with_all_in_it(driver: Driver, others: Others) -> None:
    driver.apply()
    store = driver.stand_in.store
    store.rules = [r for r in store.rules if r["folderUID"] != "driftline-team-payments"]
    del store.folders["driftline-team-payments"]
    made = {step.kind.name for step in driver.plan().steps if step.action == "create"}
    assert made == {"folder", "rule", "rule_group"}
    lines = said(driver)
    assert lines[0] == (
        "+ folder driftline-team-payments: create 'driftline payments', which was deleted in "
        "Grafana"
    )
    assert all(line.endswith(", which was deleted in Grafana") for line in lines)
    assert driver.apply().ok
    assert len(store.rules) == 1 + 2 * 14 + 1
    assert others.lost == []
    assert not driver.plan().differs


def test_a_folder_of_an_earlier_version_is_renamed(driver: Driver) -> None:
    """Its title had a slash; all in it stays where it is."""
    driver.apply()
    folder = driver.stand_in.store.folders["driftline-team-payments"]
    folder["title"] = "driftline / payments"
    with driver.open() as grafana:
        noted = {"tree": {"title": "driftline / payments"}, "made": True}
        grafana.state.record(("folder", "driftline-team-payments"), noted, {})
    assert said(driver) == [
        "~ folder driftline-team-payments: update 'driftline payments'",
        "    title: 'driftline / payments' -> 'driftline payments'",
    ]
    assert driver.apply().ok
    assert folder["title"] == "driftline payments"
    assert len(driver.stand_in.store.folders) == 3
    assert not driver.plan().differs


@BOTH
def test_a_rule_edited_by_hand_keeps_the_edit(driver: Driver, others: Others) -> None:
    driver.apply()
    found = rule(driver, "driftline-drift-page-growth")
    found["for"] = "7m"
    assert said(driver) == [
        "= rule driftline-drift-page-growth: edited in Grafana, kept: for: '0s' -> '7m'"
    ]
    driver.config = driver.config.model_copy(
        update={"models": {**driver.config.models, "late": driver.config.models["churn"]}}
    )
    assert driver.apply().ok
    found = rule(driver, "driftline-drift-page-growth")
    assert found["for"] == "7m"
    assert "'late'" in found["data"][0]["model"]["rawSql"]
    assert others.lost == []
    assert not driver.plan().differs


def test_rules_of_others_in_our_group_stay(driver: Driver) -> None:
    driver.apply()
    store = driver.stand_in.store
    mine = {**rule(driver, "driftline-drift-page-growth"), "uid": "theirs", "title": "Theirs"}
    store.rules.append(mine)
    driver.change(interval="30 s")
    assert driver.apply().ok
    assert store.intervals["driftline-team-growth", "driftline"] == 30
    assert rule(driver, "theirs")["title"] == "Theirs"
    assert len(store.rules) == 1 + 2 * 14 + 1


def test_a_data_source_renamed_by_hand_keeps_its_name(driver: Driver, others: Others) -> None:
    driver.apply()
    source = driver.stand_in.store.data_sources["driftline-timescaledb"]
    source["name"] = "Production"
    assert said(driver) == [
        "= datasource driftline-timescaledb: edited in Grafana, kept: name: 'driftline' -> "
        "'Production'"
    ]
    driver.change(data_source={"connections": 20})
    assert driver.apply().ok
    assert source["name"] == "Production"
    assert source["jsonData"]["maxOpenConns"] == 20
    assert source["secure"]["password"]
    assert others.lost == []


def test_so_many_requests_at_a_time_as_the_config_says(driver: Driver) -> None:
    driver.pages = [page(f"driftline-model-{number}") for number in range(40)]
    driver.change(concurrency=3)
    driver.stand_in.faults.delay = 0.01
    assert driver.apply().ok
    assert len(driver.stand_in.store.dashboards) == 40
    seen = list(zip(driver.stand_in.log, driver.stand_in.busy, strict=True))
    reading = [busy for line, busy in seen if line.startswith("GET /api/dashboards/")]
    saving = [busy for line, busy in seen if line == "POST /api/dashboards/db"]
    assert 1 < max(reading) <= 3
    assert 1 < max(saving) <= 3
    assert max(driver.stand_in.busy) <= 3


def test_rules_of_one_folder_are_written_in_turn(driver: Driver) -> None:
    """Grafana locks their group; teams' folders alternate in the order of uids."""
    driver.config = driver.config.model_copy(
        update={"models": {team: model(team) for team in ("growth", "payments", "risk")}}
    )
    driver.stand_in.faults.delay = 0.01
    assert driver.apply().ok
    driver.change(public_url="https://grafana.example")  # stands in each rule
    assert driver.apply().ok
    writes = [line.split()[0] for line in driver.stand_in.log if "/alert-rules" in line]
    assert (writes.count("POST"), writes.count("PUT")) == (1 + 3 * 14, 3 * 14)
    assert driver.stand_in.crowded == set()


@pytest.mark.parametrize("slashed", ["before", "after"])
def test_a_slash_at_the_end_makes_no_other_grafana(driver: Driver, slashed: str) -> None:
    """Earlier versions kept it in the memory's key."""
    url = driver.config.grafana.url
    driver.apply()
    if slashed == "before":
        with connect(driver.config.postgres, "migrate", autocommit=True) as connection:
            for table in ("grafana_object", "grafana_secret"):
                connection.execute(
                    f"UPDATE driftline.{table} SET server = server || '/' WHERE server = %s",
                    [url],
                )
    else:
        driver.change(url=f"{url}/")
    assert driver.apply().done == []
    driver.pages[0]["description"] = "Another"
    assert [step.uid for step in driver.apply().done] == ["driftline-fleet"]
    assert not driver.plan().differs
    assert driver.destroy().ok
    assert driver.stand_in.store.folders == {}
    with connect(driver.config.postgres, "write") as connection:
        left = connection.execute(
            "SELECT count(*) FROM driftline.grafana_object WHERE rtrim(server, '/') = %s", [url]
        ).fetchone()
    assert left == (0,)


def test_a_page_is_in_the_folder_of_its_team(driver: Driver) -> None:
    models = {
        name: one.model_copy(update={"dashboard": "own"})
        for name, one in driver.config.models.items()
    }
    driver.config = driver.config.model_copy(update={"models": models})
    driver.pages = generate(driver.config)
    assert driver.apply().ok
    pages = driver.stand_in.store.dashboards
    assert {uid: one["folderUid"] for uid, one in pages.items()} == {
        "driftline-fleet": "driftline",
        "driftline-models": "driftline",
        "driftline-pipeline": "driftline",
        "driftline-model-churn": "driftline-team-growth",
        "driftline-model-fraud": "driftline-team-payments",
        "driftline-model-spend": "driftline-team-payments",
    }


@BOTH
def test_a_secret_is_sent_when_it_changes_and_only_then(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.apply()
    point = driver.stand_in.store.contact_points[0]
    hook = driver.config.grafana.model_dump()["contact_points"]["ops"]
    hook["settings"]["url"] = "https://hook.example/new"
    driver.change(contact_points={"ops": hook})
    driver.stand_in.bodies.clear()
    assert driver.apply().ok
    assert "[REDACTED]" in "".join(driver.stand_in.bodies)
    assert "planted-hook-secret" not in "".join(driver.stand_in.bodies)
    assert point["settings"] == {
        "url": "https://hook.example/new",
        "authorization_credentials": "planted-hook-secret",
    }
    monkeypatch.setenv("HOOK_SECRET", "planted-second-secret")
    (step,) = [one for one in driver.plan().steps if one.differs]
    assert step.uid == "driftline-ops"
    assert set(step.secrets) == {"authorization_credentials"}
    assert driver.apply().ok
    assert point["settings"]["authorization_credentials"] == "planted-second-secret"
    assert not driver.plan().differs


def test_secrets_are_nowhere(
    driver: Driver, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    password = driver.config.postgres.roles.read.password
    assert password is not None
    secrets = (*SECRETS, password.read())
    driver.pages = generate(driver.config)
    texts = [json.dumps(driver.pages), json.dumps(rules(driver.config))]
    texts += [json.dumps(as_json(driver.plan())), *lines_of(driver.plan()), *diff_of(driver.plan())]
    driver.stand_in.faults.only = "POST|PUT"
    driver.stand_in.faults.echoes = True
    driver.stand_in.faults.answers = [400] * 100
    failed = outcome_lines(driver.apply())
    assert "***" in "".join(failed)  # the server said them
    driver.stand_in.faults.answers = []
    texts += [*failed, *outcome_lines(driver.apply())]
    texts += [repr(driver.plan()), caplog.text, repr(driver.config)]
    assert "no luck" in caplog.text
    with connect(driver.config.local_postgres(), "read") as connection:
        rows = connection.execute("SELECT * FROM driftline.grafana_object").fetchall()
    texts.append(repr(rows))
    written = desired_objects(driver.config, driver.pages, (11, 0), secrets=False)
    export(driver.config, written, tmp_path / "files")
    texts += [file.read_text() for file in (tmp_path / "files").rglob("*") if file.is_file()]
    for secret in secrets:
        assert not [text for text in texts if secret in text]


@BOTH
def test_what_is_not_wanted_any_more_is_removed(driver: Driver) -> None:
    driver.apply()
    store = driver.stand_in.store
    driver.pages.pop()
    models = {k: one for k, one in driver.config.models.items() if one.team == "payments"}
    driver.config = driver.config.model_copy(update={"models": models})
    assert driver.apply().ok
    assert set(store.dashboards) == {"driftline-fleet"}
    assert set(store.folders) == {"driftline", "driftline-team-payments"}
    assert len(store.rules) == 1 + 14
    assert not driver.plan().differs


@BOTH
def test_destroy_removes_its_own_and_nothing_else(driver: Driver) -> None:
    driver.apply()
    store = driver.stand_in.store
    store.dashboards["theirs"] = {
        **store.dashboards["driftline-fleet"],
        "folderUid": "driftline-team-growth",
    }
    edit(driver, "driftline-models", lambda page: page.update(title="Edited"))
    outcome = driver.destroy()
    assert outcome.ok
    assert set(store.dashboards) == {"theirs", "driftline-models"}
    assert set(store.folders) == {"driftline", "driftline-team-growth"}
    assert store.rules == []
    # the page that stays still has its data
    assert set(store.data_sources) == {"driftline-timescaledb"}
    told = "\n".join(outcome_lines(outcome))
    assert "it contains objects of others (1 dashboard)" in told
    assert "datasource driftline-timescaledb: not deleted: may still be used by d" in told
    driver.destroy(force=True)
    assert set(store.dashboards) == {"theirs"}
    assert (store.data_sources, store.contact_points) == ({}, [])


@BOTH
def test_a_rule_that_stays_keeps_its_data_source(driver: Driver) -> None:
    driver.apply()
    store = driver.stand_in.store
    uid = store.rules[3]["uid"]
    rule(driver, uid)["for"] = "10m"
    assert driver.destroy().ok
    assert [one["uid"] for one in store.rules] == [uid]
    assert (len(store.data_sources), len(store.contact_points)) == (1, 1)
    driver.destroy(force=True)
    assert (store.rules, store.data_sources, store.contact_points) == ([], {}, [])


@BOTH
def test_a_contact_point_that_others_use_stays(driver: Driver) -> None:
    """Of which the versions say so in other words; it goes when nobody uses it any more."""
    driver.apply()
    store = driver.stand_in.store
    receiver = store.contact_points[0]["name"]
    store.policies = {
        "receiver": "grafana-default-email",
        "routes": [{"receiver": receiver, "object_matchers": [["team", "=", "theirs"]]}],
    }
    outcome = driver.destroy()
    assert outcome.ok
    assert [
        (step.uid, why) for step, why in outcome.retained if step.kind.name == "contact_point"
    ] == [(store.contact_points[0]["uid"], "a rule or a policy still uses it")]
    store.policies["routes"] = []
    assert driver.destroy().ok
    assert store.contact_points == []


def test_a_page_in_the_new_schema_is_named_and_left_alone(driver: Driver) -> None:
    """A save by the old API would throw away what the person made of it."""
    driver.apply()
    store = driver.stand_in.store
    pages.turn_v2(store, "driftline-models")
    theirs = copy.deepcopy(store.dashboards["driftline-models"])
    driver.pages = [page("driftline-fleet", panel(1)), page("driftline-models", panel(1))]
    for outcome in (driver.apply(), driver.apply(force=True), driver.destroy(force=True)):
        ((step, error),) = outcome.failed
        assert step.uid == "driftline-models"
        assert "saved in Grafana's new schema (v2)" in str(error)
        assert "save this one as a copy, delete it and apply again" in str(error)
        assert store.dashboards["driftline-models"] == theirs


def test_a_page_that_turns_to_the_new_schema_meanwhile(driver: Driver) -> None:
    driver.apply()
    store = driver.stand_in.store
    driver.pages = [page("driftline-fleet", panel(1)), page("driftline-models", panel(1))]

    def meanwhile(line: str) -> None:
        if (
            line == "POST /api/dashboards/db"
            and "elements" not in (store.dashboards["driftline-models"]["content"])
        ):
            pages.turn_v2(store, "driftline-models")

    driver.stand_in.faults.before = meanwhile
    ((_, error),) = driver.apply().failed
    assert "new schema" in str(error)
    assert "elements" in store.dashboards["driftline-models"]["content"]


def test_a_root_that_continues_is_not_written(driver: Driver) -> None:
    """Grafana 12 would take it, and then could not read anything of its Alertmanager."""
    driver.apply()
    store = driver.stand_in.store
    store.policies = {"receiver": "grafana-default-email", "continue": True}
    driver.route_by("policies")
    assert "'continue: true'" in str(driver.apply().failed[0][1])
    assert not store.corrupted


def test_what_a_later_server_adds_to_a_rule_is_no_edit(driver: Driver) -> None:
    """12.2 always answers `keep_firing_for: "0s"` and `record: null`."""
    driver.apply()
    for one in driver.stand_in.store.rules:
        one.update(keep_firing_for="0s", record=None, missingSeriesEvalsToResolve=0)
    plan = driver.plan()
    assert not plan.differs
    assert [edit.dotted_path for step in plan.steps for edit in step.edits] == []
    driver.stand_in.store.rules[0]["keep_firing_for"] = "5m"
    edits = [edit.dotted_path for step in driver.plan().steps for edit in step.edits]
    assert edits == ["keep_firing_for"]
    driver.stand_in.store.rules[0]["keep_firing_for"] = "0s"
    assert driver.destroy().ok
    assert driver.stand_in.store.rules == []


def test_what_was_there_before_is_taken_over_and_never_deleted(driver: Driver) -> None:
    driver.apply()
    store = driver.stand_in.store
    with driver.open() as grafana:
        for key in grafana.state.load():
            grafana.state.forget(key)  # a database restored from before
    again = [step.uid for step in driver.plan().steps if step.differs]
    assert sorted(again) == ["driftline-ops", "driftline-timescaledb"]  # what has a secret
    assert driver.apply().ok
    assert not driver.plan().differs
    before = set(store.dashboards)
    driver.destroy()
    assert set(store.dashboards) == before


@BOTH
def test_someone_saves_between_our_read_and_our_write(driver: Driver) -> None:
    driver.apply()

    def meanwhile(line: str) -> None:
        if line == "POST /api/dashboards/db":
            driver.stand_in.faults.before = None
            edit(driver, "driftline-fleet", lambda page: page["tags"].append("theirs"))

    driver.pages[0]["description"] = "Another"
    driver.stand_in.faults.before = meanwhile
    assert driver.apply().ok
    found = stored(driver, "driftline-fleet")
    assert found["tags"] == ["driftline", "theirs"]
    assert found["description"] == "Another"


def test_two_at_once_do_it_once(driver: Driver) -> None:
    outcomes = []

    def apply() -> None:
        outcomes.append(driver.apply())

    threads = [threading.Thread(target=apply) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(outcome.ok for outcome in outcomes)
    made = [line for line in driver.stand_in.log if line == "POST /api/dashboards/db"]
    assert len(made) == 2
    assert not driver.plan().differs


def test_a_reader_that_holds_all_it_can_stops_no_apply(driver: Driver) -> None:
    url = driver.config.grafana.url or ""
    with holding(driver.config.postgres, f"{url} 1", f"{url.rstrip('/')} 1"):
        assert driver.apply().ok
    assert [step.key for step in driver.plan().steps if step.differs] == []


@BOTH
def test_routes_are_merged_into_the_policy_tree(driver: Driver) -> None:
    driver.apply()
    store = driver.stand_in.store
    theirs = {"receiver": "driftline-ops", "object_matchers": [["team", "=", "others"]]}
    store.policies = {"receiver": "grafana-default-email", "routes": [theirs]}
    driver.route_by("policies")
    assert driver.apply().ok
    first, second = store.policies["routes"]
    assert second == theirs
    assert first["receiver"] == "driftline-ops"
    assert "provenance" not in store.policies
    assert all(one["notification_settings"] is None for one in store.rules)
    assert not driver.plan().differs
    driver.route_by("notification_settings")
    assert driver.apply().ok
    assert store.policies["routes"] == [theirs]


THEIRS = {"receiver": "grafana-default-email", "object_matchers": [["team", "=", "others"]]}
_TREE = "/api/v1/provisioning/policies"


@pytest.mark.parametrize("theirs_before", [[], [THEIRS]], ids=["theirs is new", "theirs is old"])
@pytest.mark.parametrize("when", ["before our last read", "after our write"])
def test_someone_changes_the_policies_meanwhile(
    driver: Driver, when: str, theirs_before: list[dict[str, Any]]
) -> None:
    """Neither their route nor ours is lost."""
    driver.apply()
    store, reads = driver.stand_in.store, 0
    store.policies = {"receiver": "grafana-default-email", "routes": theirs_before}
    stale = {"receiver": "grafana-default-email", "routes": [THEIRS]}

    def meanwhile(line: str) -> None:
        nonlocal reads
        reads += line == f"GET {_TREE}"
        if reads == (2 if when == "before our last read" else 3):
            driver.stand_in.faults.before = None
            store.policies = dict(stale)  # read before we wrote

    driver.route_by("policies")
    driver.stand_in.faults.before = meanwhile
    assert driver.apply().ok
    assert driver.stand_in.faults.before is None
    receivers = [route["receiver"] for route in store.policies["routes"]]
    assert receivers == ["driftline-ops", "grafana-default-email"]
    assert not driver.plan().differs


def routed(driver: Driver, *routes: dict[str, Any]) -> None:
    """The config routes by policies, to these contact points."""
    hook = {"type": "webhook", "settings": {"url": "https://hook.example/o"}}
    points = dict.fromkeys(("first", "second", "third"), hook)
    driver.change(contact_points=points, routing={"mode": "policies", "routes": routes})


def receivers(driver: Driver) -> list[str]:
    return [one["receiver"].removeprefix("driftline-") for one in routes(driver)]


def routes(driver: Driver) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = driver.stand_in.store.policies["routes"]
    return found


FIRST = {"contact_point": "first", "severities": ["page"]}
SECOND = {"contact_point": "second", "teams": ["payments"]}
THIRD = {"contact_point": "third"}
_AUDIT = {"receiver": "grafana-default-email", "object_matchers": [["team", "=", "a"]]}


@pytest.fixture
def policies(driver: Driver) -> Driver:
    """Two routes are applied, before two of others."""
    tree = {"receiver": "grafana-default-email", "routes": [THEIRS, _AUDIT]}
    driver.stand_in.store.policies = tree
    routed(driver, FIRST, SECOND)
    assert driver.apply().ok
    assert receivers(driver)[:2] == ["first", "second"]
    return driver


def test_a_new_order_of_routes_is_planned_and_sent(policies: Driver) -> None:
    """The first that matches wins."""
    routed(policies, SECOND, FIRST)
    assert "    routes.(order): 1 2 -> 2 1" in said(policies)
    assert policies.apply().ok
    assert receivers(policies)[:2] == ["second", "first"]
    assert routes(policies)[2:] == [THEIRS, _AUDIT]
    assert not policies.plan().differs
    routed(policies, SECOND, THIRD, FIRST)
    assert policies.apply().ok
    assert receivers(policies)[:3] == ["second", "third", "first"]
    assert not policies.plan().differs


def test_an_order_of_people_stays(policies: Driver) -> None:
    mine = routes(policies)[:2]
    policies.stand_in.store.policies["routes"] = [_AUDIT, *mine[::-1], THEIRS]
    assert policies.apply().ok
    assert not policies.plan().differs
    assert receivers(policies)[1:3] == ["second", "first"]
    routed(policies, FIRST, SECOND, THIRD)
    assert policies.apply().ok
    assert receivers(policies)[:3] == ["second", "third", "first"]
    assert routes(policies)[3:] == [_AUDIT, THEIRS]
    assert not policies.plan().differs


def test_two_new_orders_are_a_conflict(policies: Driver) -> None:
    routed(policies, FIRST, SECOND, THIRD)
    policies.apply()
    one, two, three = routes(policies)[:3]
    policies.stand_in.store.policies["routes"][:3] = [two, one, three]
    routed(policies, THIRD, FIRST, SECOND)
    for _ in range(2):
        assert policies.apply().ok
        assert conflicts(policies) == ["routes.(order)"]
        assert receivers(policies)[:3] == ["second", "first", "third"]
    assert policies.apply(force=True).ok
    assert receivers(policies)[:3] == ["third", "first", "second"]
    assert not policies.plan().differs


def test_a_second_route_of_the_same_matcher_stays(policies: Driver) -> None:
    """People also send the same alerts elsewhere, before driftline's route takes them."""
    ours = routes(policies)[0]
    also = {"receiver": "driftline-second", "object_matchers": ours["object_matchers"]}
    also["continue"] = True
    policies.stand_in.store.policies["routes"].insert(0, also)
    assert not policies.plan().differs
    routed(policies, {**FIRST, "group_wait": "90 s"}, SECOND)
    assert policies.apply().ok
    assert routes(policies)[0] == also
    assert routes(policies)[1] == {**ours, "group_wait": "1m30s"}
    assert receivers(policies)[2] == "second"
    assert not policies.plan().differs
    policies.route_by("notification_settings")
    assert policies.apply(force=True).ok
    assert routes(policies) == [also, THEIRS, _AUDIT]


def test_an_order_that_an_earlier_version_did_not_note(policies: Driver) -> None:
    """Nothing differs, and driftline's routes can still be removed."""
    with policies.open() as grafana:
        key = ("policy", "policies")
        tree = copy.deepcopy(grafana.state.load()[key].applied or {})
        del tree["tree"]["routes"]["(order)"]
        grafana.state.record(key, tree, {})
    assert not policies.plan().differs
    policies.route_by("notification_settings")
    assert policies.apply().ok
    assert routes(policies) == [THEIRS, _AUDIT]


@pytest.mark.parametrize("provenance", [{"provenance": "api"}, {}], ids=["api", "none"])
def test_a_locked_tree_keeps_its_provenance(driver: Driver, provenance: dict[str, str]) -> None:
    """One that people may edit stays so: it is the whole organisation's."""
    driver.change(provenance="locked")
    driver.apply()
    tree = {"receiver": "grafana-default-email", "routes": [THEIRS], **provenance}
    driver.stand_in.store.policies = tree
    driver.route_by("policies")
    assert driver.apply().ok
    found = driver.stand_in.store.policies
    assert {key: found[key] for key in found if key == "provenance"} == provenance
    assert THEIRS in found["routes"]


@pytest.mark.parametrize("kind", ["rule", "contact point"])
def test_someone_edits_an_alerting_object_meanwhile(driver: Driver, kind: str) -> None:
    driver.apply()
    store = driver.stand_in.store
    uid = "driftline-drift-page-payments"
    point, theirs = store.contact_points[0], rule(driver, uid)

    def meanwhile(line: str) -> None:
        if kind == "rule" and line == f"GET /api/v1/provisioning/alert-rules/{uid}":
            driver.stand_in.faults.before = None
            theirs["annotations"]["note"] = "theirs"
        reading = line == "GET /api/v1/provisioning/contact-points"
        if kind == "contact point" and reading and driver.stand_in.log.count(line) == 2:
            driver.stand_in.faults.before = None
            point["disableResolveMessage"] = True

    hook = driver.config.grafana.model_dump()["contact_points"]["ops"]
    hook["settings"]["url"] = "https://hook.example/new"
    models = {
        name: one.model_copy(update={"runbook": "https://wiki.example/new"})
        for name, one in driver.config.models.items()
    }
    driver.config = driver.config.model_copy(update={"models": models})
    driver.change(contact_points={"ops": hook})
    driver.stand_in.log.clear()
    driver.stand_in.faults.before = meanwhile
    assert driver.apply().ok
    assert driver.stand_in.faults.before is None
    if kind == "rule":
        found = rule(driver, uid)["annotations"]
        assert (found["note"], found["runbook_url"]) == ("theirs", "https://wiki.example/new")
    else:
        assert point["disableResolveMessage"]
        assert point["settings"]["url"] == "https://hook.example/new"


@pytest.mark.parametrize("provenance", ["file", "api"])
def test_a_provisioned_policy_tree_is_refused(driver: Driver, provenance: str) -> None:
    driver.apply()
    tree = {"receiver": "grafana-default-email", "provenance": provenance}
    driver.stand_in.store.policies = dict(tree)
    driver.route_by("policies")
    outcome = driver.apply()
    assert "the policies are provisioned" in str(outcome.failed[0][1])
    assert driver.stand_in.store.policies == tree


@BOTH
def test_locked_rules_cannot_become_editable(driver: Driver) -> None:
    driver.change(provenance="locked")
    driver.apply()
    assert {one["provenance"] for one in driver.stand_in.store.rules} == {"api"}
    driver.change(provenance="editable")
    failed = driver.apply().failed
    assert {step.kind.name for step, _ in failed} == {"rule", "contact_point", "mute_timing"}
    for _, error in failed:
        assert "set grafana.provenance: locked, or delete it in Grafana" in str(error)


@BOTH
def test_editable_rules_become_locked(driver: Driver) -> None:
    driver.apply()
    store = driver.stand_in.store
    assert {one["provenance"] for one in [*store.rules, *store.contact_points]} == {""}
    driver.change(provenance="locked")
    changed = [step for step in driver.plan().steps if step.action == "update"]
    assert {change.dotted_path for step in changed for change in step.changes} == {"provenance"}
    assert driver.apply().ok
    assert {one["provenance"] for one in [*store.rules, *store.contact_points]} == {"api"}
    assert not driver.plan().differs


def test_an_old_server_must_route_by_policies(driver: Driver) -> None:
    driver.stand_in.store.version = "10.4.0"
    with pytest.raises(ConfigError, match=r"10\.4 .* set grafana\.routing\.mode: policies"):
        driver.plan()
    driver.route_by("policies")
    driver.stand_in.store.policies = {"receiver": "grafana-default-email"}
    assert driver.apply().ok
    assert rule(driver, "driftline-drift-page-payments")["execErrState"] == "Error"
    assert not driver.plan().differs


def test_a_newer_server(driver: Driver) -> None:
    driver.stand_in.store.version = "12.0.0"
    assert driver.apply().ok
    assert rule(driver, "driftline-drift-page-payments")["execErrState"] == "KeepLast"
    assert not driver.plan().differs
