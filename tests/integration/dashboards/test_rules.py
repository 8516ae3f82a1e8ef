"""Every alert rule on a real database: firing, and not; and as a server recorded them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args

import psycopg
import pytest

from driftline.config import Config
from driftline.config.monitors import Family, Severity
from driftline.dashboards.sync.alert_rules import HEARTBEAT, rules
from driftline.storage.connection import connect
from driftline.storage.monitoring import incidents, runners
from driftline.storage.monitoring.incidents import Content
from driftline.storage.tables import schema
from tests.grafana.evaluate import Instance, evaluate
from tests.grafana.store import Json, Store
from tests.integration.dashboards.conftest import model

STATES = Path(__file__).parents[2] / "data" / "grafana" / "18_alert_states.json"


@pytest.fixture(scope="module")
def config(empty_database: Callable[[], Config]) -> Config:
    made = empty_database()
    schema.migrate(made)
    models = {"fraud": model("payments"), "spend": model("payments"), "churn": model("growth")}
    return made.model_copy(update={"models": models})


@pytest.fixture
def store(config: Config) -> Store:
    """A server whose data source is the database, as role `read`."""
    with connect(config.postgres, "write", autocommit=True) as connection:
        connection.execute("UPDATE driftline.alert SET state = 'ok', silenced_until = NULL")
        connection.execute("DELETE FROM driftline.runner")
        connection.execute(
            "INSERT INTO driftline.runner (id, shards, models) VALUES ('a', '{}', 3)"
        )
    return _server(config, rules(config))


def _server(config: Config, made: list[Json]) -> Store:
    store = Store(connect=partial(connect, config.postgres, "read", autocommit=True))
    store.data_sources = {"pg": {}, "driftline-timescaledb": {}}
    store.rules = [dict(rule) for rule in made]
    return store


def set_alert(config: Config, family: str, severity: str, **more: Any) -> None:
    """One row of the alert table."""
    row = {"state": "firing", "silenced": None, "version": 3, "incident": 7, **more}
    with connect(config.postgres, "write", autocommit=True) as connection:
        connection.execute(
            "INSERT INTO driftline.alert (model, family, team, state, severity, since,"
            " silenced_until, version, incident_id) VALUES ('fraud', %(family)s, 'payments',"
            " %(state)s, %(severity)s, now(), now() + %(silenced)s::interval, %(version)s,"
            " %(incident)s) ON CONFLICT (model, family) DO UPDATE SET state = excluded.state,"
            " severity = excluded.severity, silenced_until = excluded.silenced_until",
            {"family": family, "severity": severity, **row},
        )


def alerting(found: list[Instance]) -> set[tuple[str, str]]:
    return {
        (one.rule, dict(one.labels).get("model", ""))
        for one in found
        if one.state.startswith("Alerting")
    }


def test_every_model_has_a_row_in_every_rule_even_before_the_runner(store: Store) -> None:
    found = evaluate(store)
    assert {one.state for one in found} == {"Normal"}
    per_rule = len(get_args(Family)) * len(get_args(Severity))
    assert len(found) == 1 + 3 * per_rule
    labels = {name for one in found for name, _ in one.labels}
    assert labels == {"model", "family", "team"}


@pytest.mark.parametrize("family", get_args(Family))
@pytest.mark.parametrize("severity", get_args(Severity))
def test_each_rule_fires_for_its_family_and_severity(
    config: Config, store: Store, family: str, severity: str
) -> None:
    set_alert(config, family, severity)
    assert alerting(evaluate(store)) == {(f"driftline-{family}-{severity}-payments", "fraud")}
    set_alert(config, family, severity, state="ok")
    assert alerting(evaluate(store)) == set()


@pytest.mark.parametrize("state", ["ok", "pending", "no_data", "broken"])
def test_other_states_do_not_fire(config: Config, store: Store, state: str) -> None:
    set_alert(config, "drift", "page", state=state, version=None, incident=None)
    assert alerting(evaluate(store)) == set()


@pytest.mark.parametrize("silenced", ["1 hour", "-1 second"])
def test_a_silence_is_no_recovery(config: Config, store: Store, silenced: str) -> None:
    """Grafana has a silence of its own for it."""
    set_alert(config, "drift", "page")
    set_alert(config, "drift", "page", silenced=silenced)
    assert alerting(evaluate(store)) == {("driftline-drift-page-payments", "fraud")}


def test_annotations_name_the_columns_and_by_how_much(config: Config, store: Store) -> None:
    """They change with the incident; the alert, which its labels name, stays the same one."""
    set_alert(config, "quality", "page")
    numbers = [_incident(config, look("amount", "mean 9, 3 in the reference"))]
    (before,) = _firing(store)
    numbers.append(
        _incident(
            config,
            look("country", "28 % missing, 1 % in the reference", segment="device=web"),
            look("amount", "mean 9, 3 in the reference"),
            look("country", "not the strongest"),
            look("", "29 % of messages were rejected", monitor="rejected"),
        )
    )
    (after,) = _firing(store)
    assert (before.rule, before.labels) == (after.rule, after.labels)
    assert dict(after.labels) == {"model": "fraud", "family": "quality", "team": "payments"}
    assert before.annotations["columns"] == "amount"
    assert before.annotations["numbers"] == "amount: mean 9, 3 in the reference"
    assert after.annotations == {
        "summary": "fraud: quality alarm",
        "description": (
            f"Incident {numbers[1]} since 2026-03-01 06:00 UTC. "
            "The model's dashboard shows its verdicts and reports."
        ),
        "version": "3",
        "columns": "country, amount, rejected",
        "numbers": (
            "country: in device=web, 28 % missing, 1 % in the reference; "
            "amount: mean 9, 3 in the reference; rejected: 29 % of messages were rejected"
        ),
        # six hours around the incident
        "dashboard": "/d/driftline-models?var-model=fraud&from=1772323200000&to=1772370000000",
    }
    set_alert(config, "quality", "page", state="ok")
    (ended,) = [
        one for one in evaluate(store) if one.labels == after.labels and one.rule == after.rule
    ]
    assert (ended.state, ended.annotations) == ("Normal", after.annotations)


def test_annotations_of_many_columns_have_the_strongest(config: Config, store: Store) -> None:
    set_alert(config, "drift", "page")
    _incident(config, *(look(f"c{i}", "moved") for i in range(9)), family="drift")
    (found,) = _firing(store)
    assert found.annotations["columns"] == "c0, c1, c2, c3, c4, c5, c6, c7"


def _firing(store: Store) -> list[Instance]:
    return [one for one in evaluate(store) if one.state == "Alerting"]


def look(column: str, detail: str, **more: str) -> dict[str, str]:
    """What alarmed, as incidents keep it."""
    return {"column": column, "monitor": "location", "segment": "", "detail": detail, **more}


def _incident(config: Config, *looks: dict[str, str], family: str = "quality") -> int:
    """The newest of the family; its number."""
    since = datetime(2026, 3, 1, 6, tzinfo=UTC)
    content = Content("page", 3, since, since + timedelta(hours=1), "", looks, None)
    with connect(config.postgres, "write", autocommit=True) as connection:
        for number in incidents.unresolved(connection, "fraud").values():
            incidents.resolve(connection, number.id, "ended")
        return incidents.start(connection, "fraud", family, content)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE driftline.runner SET heartbeat_at = now() - interval '6 min'",
        "DELETE FROM driftline.runner",
    ],
)
def test_a_dead_runner_is_the_heartbeat_and_no_recovery(
    config: Config, store: Store, change: str
) -> None:
    set_alert(config, "drift", "page")
    with connect(config.postgres, "write", autocommit=True) as connection:
        connection.execute(change)
    assert alerting(evaluate(store)) == {
        (HEARTBEAT, ""),
        ("driftline-drift-page-payments", "fraud"),
    }


def test_a_runner_that_was_stopped_just_now_alarms_nobody(config: Config, store: Store) -> None:
    with connect(config.postgres, "write", autocommit=True) as connection:
        runners.deregister(connection, "a")
    assert alerting(evaluate(store)) == set()


def test_a_dead_database_is_one_new_alert(config: Config, store: Store) -> None:
    set_alert(config, "drift", "page")
    before = alerting(evaluate(store))

    def dead() -> Any:
        raise psycopg.OperationalError("connection refused")

    store.connect = dead
    found = evaluate(store)
    assert alerting(found) == before | {(HEARTBEAT, "")}
    assert {one.state for one in found} == {
        "Alerting (Error)",
        "Alerting (Error, KeepLast)",
        "Normal (Error, KeepLast)",
    }
    store.connect = partial(connect, config.postgres, "read", autocommit=True)
    assert alerting(evaluate(store)) == before


def test_states_and_summaries_are_those_that_a_server_recorded(config: Config) -> None:
    recorded = json.loads(STATES.read_text())
    with connect(config.postgres, "migrate", autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS contract CASCADE")
        connection.execute("CREATE SCHEMA contract")
        connection.execute("CREATE TABLE contract.flip (key text, v float8)")
        connection.execute("INSERT INTO contract.flip VALUES ('fire', 99)")
        connection.execute("GRANT USAGE ON SCHEMA contract TO driftline_read")
        connection.execute("GRANT SELECT ON contract.flip TO driftline_read")
    store = _server(config, recorded["rules"])
    titles = {rule["uid"]: rule["title"] for rule in recorded["rules"]}
    states: dict[str, list[str]] = {}
    summaries: dict[str, list[str]] = {}
    for one in evaluate(store):
        states.setdefault(titles[one.rule], []).append(one.state)
        summaries.setdefault(titles[one.rule], []).append(one.annotations["summary"])
    assert {title: sorted(some) for title, some in states.items()} == recorded["states"]
    assert {title: sorted(some) for title, some in summaries.items()} == recorded["summaries"]
