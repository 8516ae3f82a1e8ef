"""Every type of contact point through apply: secrets are sent when they change, and stay hidden."""

import json
import logging
from pathlib import Path
from typing import Any, get_args

import pytest

from driftline.config.grafana import SECRET_SETTINGS, ContactType
from driftline.dashboards.sync.desired import desired_objects
from driftline.dashboards.sync.export import export
from driftline.dashboards.sync.show import as_json, diff_of, lines_of, outcome_lines
from driftline.errors import ConfigError
from driftline.storage.connection import connect
from tests.integration.dashboards.conftest import Driver

# Of each type its secrets, and one setting that people may read.
TYPES: dict[str, tuple[tuple[str, ...], str]] = {
    "webhook": (("authorization_credentials",), "url"),
    "email": ((), "addresses"),
    "slack": (("token",), "recipient"),
    "pagerduty": (("integrationKey",), "class"),
    "teams": ((), "url"),
    "opsgenie": (("apiKey",), "message"),
    "discord": (("url",), "message"),
    "telegram": (("bottoken",), "chatid"),
    "googlechat": (("url",), "message"),
    "victorops": (("url",), "messageType"),
    "pushover": (("apiToken", "userKey"), "sound"),
}


def planted(kind: str, setting: str) -> str:
    """The secret that stands in the environment."""
    return f"planted-{kind}-{setting}"


@pytest.fixture
def everybody(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """A contact point of each type."""
    for kind, (secrets, _) in TYPES.items():
        for name in secrets:
            monkeypatch.setenv(f"{kind}_{name}".upper(), planted(kind, name))
    _configure(driver, "before")
    return driver


def _configure(driver: Driver, plain: str) -> None:
    points = {
        kind: {
            "type": kind,
            "settings": {
                open_one: f"https://{kind}.example/{plain}",
                **{name: {"env": f"{kind}_{name}".upper()} for name in secrets},
            },
        }
        for kind, (secrets, open_one) in TYPES.items()
    }
    routes = [{"contact_point": "email", "severities": ["page"]}, {"contact_point": "slack"}]
    driver.change(contact_points=points, routing={"routes": routes})


def _stored(driver: Driver) -> dict[str, dict[str, Any]]:
    return {one["type"]: one["settings"] for one in driver.stand_in.store.contact_points}


def _sent(driver: Driver) -> dict[str, dict[str, Any]]:
    """The settings of each contact point that was written, by type."""
    written = zip(driver.stand_in.log, driver.stand_in.bodies, strict=True)
    bodies = [json.loads(body) for line, body in written if "PUT" in line and "contact" in line]
    return {one["type"]: one["settings"] for one in bodies}


def test_every_type_is_here() -> None:
    assert set(TYPES) == set(get_args(ContactType)) == set(SECRET_SETTINGS)


def test_all_types_are_made_and_a_second_plan_is_empty(everybody: Driver) -> None:
    assert everybody.apply().ok
    assert _stored(everybody) == {
        kind: {
            open_one: f"https://{kind}.example/before",
            **{name: planted(kind, name) for name in secrets},
        }
        for kind, (secrets, open_one) in TYPES.items()
    }
    assert [step.key for step in everybody.plan().steps if step.differs] == []


def test_an_unchanged_secret_is_sent_as_the_server_shows_it(everybody: Driver) -> None:
    everybody.apply()
    everybody.stand_in.log.clear()
    everybody.stand_in.bodies.clear()
    _configure(everybody, "after")
    assert everybody.apply().ok
    assert _sent(everybody) == {
        kind: {
            open_one: f"https://{kind}.example/after",
            **dict.fromkeys(secrets, "[REDACTED]"),
        }
        for kind, (secrets, open_one) in TYPES.items()
    }
    for kind, (secrets, _) in TYPES.items():
        for name in secrets:
            assert _stored(everybody)[kind][name] == planted(kind, name)
    assert not everybody.plan().differs


def test_a_changed_secret_is_sent_alone(everybody: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    everybody.apply()
    everybody.stand_in.log.clear()
    everybody.stand_in.bodies.clear()
    changed = {kind: secrets[0] for kind, (secrets, _) in TYPES.items() if secrets}
    for kind, name in changed.items():
        monkeypatch.setenv(f"{kind}_{name}".upper(), f"another-{kind}")
    plan = everybody.plan()
    assert {step.uid: set(step.secrets) for step in plan.steps if step.differs} == {
        f"driftline-{kind}": {name} for kind, name in changed.items()
    }
    assert everybody.apply().ok
    assert {kind: settings[changed[kind]] for kind, settings in _sent(everybody).items()} == {
        kind: f"another-{kind}" for kind in changed
    }
    assert _sent(everybody)["pushover"]["userKey"] == "[REDACTED]"
    assert _stored(everybody)["pushover"]["userKey"] == planted("pushover", "userKey")
    assert not everybody.plan().differs


def test_secrets_need_a_key(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Role `write` logs in without a password of the config, which else is the key."""
    postgres = driver.config.local_postgres()
    assert postgres.roles.write.password is not None
    monkeypatch.setenv("PGPASSWORD", postgres.roles.write.password.read())
    write = postgres.roles.write.model_copy(update={"password": None})
    roles = postgres.roles.model_copy(update={"write": write})
    driver.config = driver.config.model_copy(
        update={"postgres": postgres.model_copy(update={"roles": roles})}
    )
    for attempt in (driver.plan, driver.apply):
        with pytest.raises(ConfigError, match=r"no password: set grafana\.secret_key"):
            attempt()
    assert driver.stand_in.store.folders == {}
    monkeypatch.setenv("DIGESTS", "planted-key")
    driver.change(secret_key={"env": "DIGESTS"})
    assert driver.apply().ok
    assert not driver.plan().differs
    driver.change(secret_key=None, contact_points={}, routing={}, data_source={"manage": False})
    assert driver.apply().ok  # nothing is secret any more


def test_no_secret_of_any_type_is_shown(
    everybody: Driver, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    faults = everybody.stand_in.faults
    faults.only, faults.echoes, faults.answers = "POST .*contact-points", True, [400] * 100
    refused = outcome_lines(everybody.apply())
    faults.answers = []
    shown = [*refused, *lines_of(everybody.plan()), *diff_of(everybody.plan())]
    shown += [json.dumps(as_json(everybody.plan())), *outcome_lines(everybody.apply())]
    shown += [repr(everybody.plan()), repr(everybody.config), caplog.text]
    export(
        everybody.config, desired_objects(everybody.config, [], (11, 0), secrets=False), tmp_path
    )
    shown += [file.read_text() for file in tmp_path.rglob("*.yaml")]
    with connect(everybody.config.local_postgres(), "read") as connection:
        shown.append(repr(connection.execute("TABLE driftline.grafana_object").fetchall()))
    said = "\n".join(shown)
    for kind, (secrets, _) in TYPES.items():
        assert f"! contact_point driftline-{kind}: can't create the contact point" in said
        for name in secrets:
            assert planted(kind, name) not in said
            assert f"{name}: ${kind}_{name}".upper() in said.upper()  # what files have instead
